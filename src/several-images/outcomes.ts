import type { NonEmpty } from "../non-empty.ts";
import { Failure } from "../output/errors.ts";
import type { TransferResult } from "../output/events.ts";
import { isInitiator, type RemoteBatch, type TransferRequest } from "../request.ts";
import { asFailure, reportOf } from "../explain-error.ts";
import { contextOf, imageOf, type Context } from "../transfer.ts";

/** The outcome of a transfer. */
type Outcome = { result: TransferResult } | { error: unknown };

/** The outcomes of the transfers with one remote side. */
export class Outcomes<Request extends TransferRequest> {
  readonly #batch: RemoteBatch<Request>;
  readonly #context: Context;
  /** In the order of the command line; on a side that accepts other images, in the order of the requests. */
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

  /** Makes a transfer the current one, and returns its context. Its events contain its name. */
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
    // The initiator prints the failures that a spawned side reports.
    if (isInitiator(request.connection))
      contextOf(request, this.#context).output.event({ type: "error", ...reportOf(error) });
  }

  /** Records that the current transfer has failed. Returns false if there is no current transfer. */
  failCurrent(error: unknown): boolean {
    if (this.#current === undefined) return false;
    this.fail(this.#current, error);
    return true;
  }

  /** Records that the current transfer has failed, or, if the receiver has not requested one, the next in the order of the command line. */
  failNext(error: unknown): void {
    const [next] = this.open;
    if (!this.failCurrent(error) && next !== undefined) this.fail(next, error);
  }

  #set(request: Request, outcome: Outcome): void {
    this.#outcomes.set(request, outcome);
    this.#current = undefined;
  }

  /**
   * Returns the results if all transfers have succeeded. Otherwise throws a Failure with the code of the first failed transfer, or of the
   * error that ended the connection before any.
   */
  finish(ended?: unknown): NonEmpty<TransferResult> {
    const outcomes = [...this.#requests].map((request) => this.#outcomes.get(request));
    const failed = outcomes.flatMap((outcome) => (outcome && "error" in outcome ? [outcome.error] : []));
    const [first, ...others] = outcomes.flatMap((outcome) => (outcome && "result" in outcome ? [outcome.result] : []));
    const reason = failed[0] ?? ended;
    if (reason === undefined) {
      if (first === undefined) throw nothingRequested();
      return [first, ...others];
    }
    const isSpawned = !isInitiator(this.#batch.connection);
    throw isSpawned || this.#outcomes.size === 0 ? reason : this.#someFailed(reason, failed.length);
  }

  #someFailed(reason: unknown, failed: number): Failure {
    const notBegun = this.open.map(imageOf);
    const count = failed + notBegun.length;
    const words = `${count} of ${this.#requests.size} images ${count === 1 ? "was" : "were"} not transferred`;
    const rest = notBegun.length === 0 ? "" : `; not started: ${notBegun.join(", ")}`;
    const { code, message } = asFailure(reason);
    const why = failed === 0 ? `: ${message}` : ""; // otherwise it has been printed
    return new Failure(code, words + rest + why, {
      hint: "Run the same command again: it does not send images that have arrived.",
      cause: reason,
    });
  }
}

function nothingRequested(): Failure {
  return new Failure("refused", "the remote side has ended the transfer without naming an image", {
    expected: "at least one image",
  });
}
