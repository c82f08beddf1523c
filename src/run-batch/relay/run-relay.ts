import { outputTo } from "../../output/output.ts";
import { JsonLines } from "../../output/json-lines.ts";
import { Failure } from "../../output/errors.ts";
import { reportOf } from "../../explain-error.ts";
import type { Batch, PushRequest, RelayOrder } from "../../request.ts";
import { abortable } from "../../streams/abortable.ts";
import { boundedLines } from "../../streams/bounded-lines.ts";
import type { Context } from "../../transfer.ts";
import { pushToEach } from "../transfers.ts";
import { HELLO, MAX_LINE, READY, silence } from "./relay-lines.ts";

/** All events: the initiator knows which are to be shown. */
const ALL = { quiet: false, verbose: true, progress: true, json: true };

/**
 * Passes images on from this host, as the `push --relay` at the other end of stdin and stdout says (relay-lines.ts). Never rejects for what fails
 * here: the initiator reads it in an event. Rejects with the signal's reason.
 *
 * @param toBatch makes requests of an order; throws a Failure where this host cannot carry them out
 */
export async function runRelay(toBatch: (order: RelayOrder) => Batch<PushRequest>, context: Context): Promise<void> {
  process.stdout.on("error", () => {}); // the end of stdin tells that the initiator has gone
  const write = (text: string): void => void process.stdout.write(text);
  write(HELLO);
  const input = boundedLines(process.stdin, MAX_LINE);
  const next = async (): Promise<string | undefined> => {
    const line = input.next().catch(() => undefined);
    return (await abortable(line, context.signal))?.value as string;
  };
  const events = new JsonLines(ALL, write);
  const output = outputTo((event) => events.show(event));
  const ordered = await next();
  if (ordered === undefined) return;
  const order = parseOrder(ordered);
  const { tick } = silence(order.options);
  const alive = setInterval(() => write("\n"), tick);
  try {
    const batch = toBatch(order);
    write(`${READY}\n`);
    const arrived = await next();
    if (arrived === undefined) return;
    const gone = new AbortController();
    next().then(
      () => gone.abort(new Error("the initiator has gone")),
      () => {}, // a signal, which ends the pushes as well
    );
    const signal = AbortSignal.any([context.signal, gone.signal]);
    // Each host that fails has had its event.
    await pushToEach(withImages(batch, JSON.parse(arrived) as string[]), { ...context, output, signal }).catch(
      () => {},
    );
    context.signal.throwIfAborted();
  } catch (error) {
    context.signal.throwIfAborted();
    output.event({ type: "error", ...reportOf(error) });
  } finally {
    clearInterval(alive);
  }
}

/** An initiator with another protocol answers the hello with its own: the remote script then tries another program. */
function parseOrder(line: string): RelayOrder {
  try {
    return JSON.parse(line) as RelayOrder;
  } catch (error) {
    throw new Failure("remote-other-protocol", "this is not the order of a push --relay", {
      expected: "push --relay at the other end",
      cause: error,
    });
  }
}

/** Leaves out the images that have not arrived, and then the command of --run, which is for all of them. */
function withImages(batch: Batch<PushRequest>, arrived: readonly string[]): Batch<PushRequest> {
  const remotes = batch.remotes.map(({ transfers, run, ...remote }) => {
    const passedOn = transfers.filter(({ source }) => arrived.includes(source.given));
    return { ...remote, transfers: passedOn, ...(passedOn.length === transfers.length && { run }) };
  });
  return { ...batch, remotes: remotes as unknown as Batch<PushRequest>["remotes"] };
}
