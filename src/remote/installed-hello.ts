import type { TransferRequest } from "../request.ts";
import { MAGIC_LINE, PROTOCOL_VERSION } from "../stdio-tunnel/constants.ts";
import { readUntil } from "../streams/read-until.ts";
import { VERSION } from "../version.ts";
import { withinAnswerTimeout, type RemoteCommand } from "./login/remote-command.ts";
import { findMarker, MAX_NOISE } from "./script/remote-lines.ts";

/**
 * Reads the first message of an installed docker-over-ssh without consuming it: a hello of this protocol, a hello of another protocol, or
 * none. A stream that ends, or that contains too much other data, counts as this protocol, because the tunnel reports it.
 */
export async function readHello(
  link: RemoteCommand,
  request: Pick<TransferRequest, "timeout">,
  signal: AbortSignal,
): Promise<"this-protocol" | "other-protocol" | "skipped"> {
  const hello = (text: string) => {
    const start = text.indexOf(MAGIC_LINE);
    const end = text.indexOf("\n", start + MAGIC_LINE.length);
    if (start !== -1 && end !== -1) return { start, end: start, line: text.slice(start + MAGIC_LINE.length, end) };
    // The script continues, because the program has ended.
    return findMarker(text) && { start: 0, end: 0, line: undefined };
  };
  const { found } = await withinAnswerTimeout(
    link,
    request,
    AbortSignal.any([signal, link.signal]),
    async (stop) => await readUntil(link.child.stdout, hello, { max: MAX_NOISE, signal: stop }),
  );
  if (found === undefined) return "this-protocol";
  if (found.line === undefined) return "skipped";
  return protocolIn(found.line) === PROTOCOL_VERSION ? "this-protocol" : "other-protocol";
}

function protocolIn(hello: string): unknown {
  try {
    return (JSON.parse(hello) as { protocol?: unknown }).protocol;
  } catch {
    return PROTOCOL_VERSION; // the tunnel rejects it
  }
}

/** Answers the hello of a docker-over-ssh that speaks another protocol. It ends with status 8, and the script continues. */
export function answerOtherProtocol(link: RemoteCommand, role: TransferRequest["role"]): void {
  link.child.stdin.write(
    `${MAGIC_LINE}${JSON.stringify({ protocol: PROTOCOL_VERSION, tool: VERSION, role, features: [] })}\n`,
  );
}
