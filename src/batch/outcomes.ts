import { Failure } from "../output/errors.ts";
import type { TransferResult } from "../output/events.ts";
import { isInitiator, type NonEmpty, type RemoteBatch, type TransferRequest } from "../request.ts";
import { asFailure, reportOf } from "../explain-error.ts";
import { contextOf, imageOf, type Context } from "../transfer.ts";

/** What became of a transfer. */
type Outcome = { result: TransferResult } | { error: unknown };

/** What became of the transfers with one remote side. */
export class Outcomes<Request extends TransferRequest> {
  readonly #batch: RemoteBatch<Request>;
  readonly #context: Context;
  /** In the order of the command line; of a side that accepts other images, in the order in which they are asked for. */
  readonly #requests: Set<Request>;
  readonly #outcomes = new Map<Request, Outcome>();
  #current: Request | undefined;

  constructor(batch: RemoteBatch<Request>, context: Context) {
    this.#batch = batch;
    this.#context = context;
    this.#requests = new Set(batch.acceptsOthers ? [] : batch.transfers);
  }

  /** The transfers without an outcome. */
  get open(): readonly Request[] {
    return [...this.#requests].filter((request) => !this.has(request));
  }

  has(request: Request): boolean {
    return this.#outcomes.has(request);
  }

  get haveFailures(): boolean {
    return [...this.#outcomes.values()].some((outcome) => "error" in outcome);
  }

  /** Returns the surroundings of a transfer, which is the current one from now on. Its events name it. */
  begin(request: Request): Context {
    this.#requests.add(request);
    this.#current = request;
    return contextOf(request, this.#context);
  }

  succeed(request: Request, result: TransferResult): void {
    this.#set(request, { result });
  }

  fail(request: Request, error: unknown): void {
    this.#set(request, { error });
    // The initiator prints what a spawned side tells it.
    if (isInitiator(request.connection))
      contextOf(request, this.#context).output.event({ type: "error", ...reportOf(error) });
  }

  /** Notes that the current transfer has failed, if there is one. Returns whether there was. */
  failCurrent(error: unknown): boolean {
    if (this.#current === undefined) return false;
    this.fail(this.#current, error);
    return true;
  }

  /** Notes that the current transfer has failed, or before the receiver has asked for one, the next in the order of the command line. */
  failNext(error: unknown): void {
    const [next] = this.open;
    if (!this.failCurrent(error) && next !== undefined) this.fail(next, error);
  }

  #set(request: Request, outcome: Outcome): void {
    this.#outcomes.set(request, outcome);
    this.#current = undefined;
  }

  /**
   * Returns the results if all transfers have succeeded; otherwise throws a failure, with the code of the first that failed, or of what ended
   * the connection before.
   */
  finish(ended?: unknown): NonEmpty<TransferResult> {
    const outcomes = [...this.#requests].map((request) => this.#outcomes.get(request));
    const failed = outcomes.flatMap((outcome) => (outcome && "error" in outcome ? [outcome.error] : []));
    const [first, ...others] = outcomes.flatMap((outcome) => (outcome && "result" in outcome ? [outcome.result] : []));
    const reason = failed[0] ?? ended;
    if (reason === undefined) {
      if (first === undefined) throw nothingAskedFor();
      return [first, ...others];
    }
    const isSpawned = !isInitiator(this.#batch.connection);
    throw isSpawned || this.#outcomes.size === 0 ? reason : this.#someFailed(reason, failed.length);
  }

  #someFailed(reason: unknown, failed: number): Failure {
    const notBegun = this.open.map(imageOf);
    const count = failed + notBegun.length;
    const words = `${count} of ${this.#requests.size} images ${count === 1 ? "was" : "were"} not transferred`;
    const rest = notBegun.length === 0 ? "" : `; not begun: ${notBegun.join(", ")}`;
    const { code, message } = asFailure(reason);
    const why = failed === 0 ? `: ${message}` : ""; // otherwise it has been printed
    return new Failure(code, words + rest + why, {
      hint: "Run the same command again: what has arrived is not sent once more.",
      cause: reason,
    });
  }
}

function nothingAskedFor(): Failure {
  return new Failure("refused", "the other side has ended the transfer, and named no image", {
    expected: "at least one image",
  });
}
