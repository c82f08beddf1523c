import type { TransferRequest } from "../request.ts";
import { MAGIC_LINE, PROTOCOL_VERSION } from "../stdio-tunnel/constants.ts";
import { readUntil } from "../streams/read-until.ts";
import { VERSION } from "../version.ts";
import { withinAnswerTimeout, type RemoteCommand } from "./login/remote-command.ts";
import { findMarker, MAX_NOISE } from "./script/remote-lines.ts";

/**
 * Reads what an installed docker-over-ssh says first, without taking it from the stream: a hello of this protocol, one of another, or none.
 * A stream that ends, or says too much else, counts as this protocol: the tunnel finds the words for it.
 */
export async function readHello(
  link: RemoteCommand,
  request: Pick<TransferRequest, "timeout">,
  signal: AbortSignal,
): Promise<"this-protocol" | "other-protocol" | "passed-over"> {
  const hello = (text: string) => {
    const start = text.indexOf(MAGIC_LINE);
    const end = text.indexOf("\n", start + MAGIC_LINE.length);
    if (start !== -1 && end !== -1) return { start, end: start, line: text.slice(start + MAGIC_LINE.length, end) };
    // The script goes on, because the program has ended.
    return findMarker(text) && { start: 0, end: 0, line: undefined };
  };
  const { found } = await withinAnswerTimeout(
    link,
    request,
    AbortSignal.any([signal, link.signal]),
    async (stop) => await readUntil(link.child.stdout, hello, { max: MAX_NOISE, signal: stop }),
  );
  if (found === undefined) return "this-protocol";
  if (found.line === undefined) return "passed-over";
  return protocolIn(found.line) === PROTOCOL_VERSION ? "this-protocol" : "other-protocol";
}

function protocolIn(hello: string): unknown {
  try {
    return (JSON.parse(hello) as { protocol?: unknown }).protocol;
  } catch {
    return PROTOCOL_VERSION; // the tunnel rejects it
  }
}

/** Answers the hello of a docker-over-ssh that speaks another protocol: it ends then, with status 8, and the script goes on. */
export function answerOtherProtocol(link: RemoteCommand, role: TransferRequest["role"]): void {
  link.child.stdin.write(
    `${MAGIC_LINE}${JSON.stringify({ protocol: PROTOCOL_VERSION, tool: VERSION, role, features: [] })}\n`,
  );
}
