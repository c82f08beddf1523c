import { outputTo } from "../../output/output.ts";
import { JsonLines } from "../../output/json-lines.ts";
import { Failure } from "../../output/errors.ts";
import { reportOf } from "../../explain-error.ts";
import type { Batch, PushRequest, RelayOrder } from "../../request.ts";
import { abortable } from "../../streams/abortable.ts";
import { boundedLines } from "../../streams/bounded-lines.ts";
import type { Context } from "../../transfer.ts";
import { pushToEach } from "../run-batch.ts";
import { HELLO, MAX_LINE, READY, silence } from "./relay-lines.ts";

/** All events, because the initiator decides which ones to show. */
const ALL = { quiet: false, verbose: true, progress: true, json: true };

/**
 * Passes images on from this host, on the orders of the `push --relay` at the other end of stdin and stdout (relay-lines.ts). Rejects only with the
 * signal's reason: failures on this host are sent to the initiator as events.
 *
 * @param toBatch creates requests from an order; throws a Failure if this host cannot carry them out
 */
export async function runRelay(toBatch: (order: RelayOrder) => Batch<PushRequest>, context: Context): Promise<void> {
  process.stdout.on("error", () => {}); // the end of stdin shows that the initiator has disconnected
  const write = (text: string): void => void process.stdout.write(text);
  write(HELLO);
  const input = boundedLines(process.stdin, MAX_LINE);
  const next = async (): Promise<string | undefined> => {
    const line = input.next().catch(() => undefined);
    return (await abortable(line, context.signal))?.value as string;
  };
  const events = new JsonLines(ALL, write);
  const output = outputTo((event) => events.show(event));
  const orderLine = await next();
  if (orderLine === undefined) return;
  const order = parseOrder(orderLine);
  const { tick } = silence(order.options);
  const alive = setInterval(() => write("\n"), tick);
  try {
    const batch = toBatch(order);
    write(`${READY}\n`);
    const arrived = await next();
    if (arrived === undefined) return;
    const gone = new AbortController();
    next().then(
      () => gone.abort(new Error("the initiator has disconnected")),
      () => {}, // a signal, which also ends the pushes
    );
    const signal = AbortSignal.any([context.signal, gone.signal]);
    // An event has reported each failed host.
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

/** Parses the order. An initiator with another protocol answers with its own hello instead, and the remote script tries another program. */
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

/** Removes the images that have not arrived and, if there are any, the command of --run, which needs all images. */
function withImages(batch: Batch<PushRequest>, arrived: readonly string[]): Batch<PushRequest> {
  const remotes = batch.remotes.map(({ transfers, run, ...remote }) => {
    const passedOn = transfers.filter(({ source }) => arrived.includes(source.given));
    return { ...remote, transfers: passedOn, ...(passedOn.length === transfers.length && { run }) };
  });
  return { ...batch, remotes: remotes as unknown as Batch<PushRequest>["remotes"] };
}
