import type { Platform } from "../image/platform.ts";
import { Failure } from "../output/errors.ts";
import type { Output } from "../output/output.ts";
import type { HostConnection, TransferRequest } from "../request.ts";
import { MAGIC_LINE, PROTOCOL_VERSION } from "../stdio-tunnel/constants.ts";
import { readUntil } from "../streams/read-until.ts";
import { VERSION } from "../version.ts";
import { readPackedBundle } from "./bundle.ts";
import { LineOrder } from "./line-order.ts";
import { hasReachedShell } from "./login.ts";
import { withinAnswerTimeout, type RemoteCommand } from "./remote-command.ts";
import { engineUnreachable, noUsableProgram, silentLoginHint } from "./remote-errors.ts";
import { findMarker, parseRemoteLine, type RemoteLine, type TunnelProgram } from "./remote-lines.ts";
import type { SentNode } from "./sent-node.ts";

/** Bytes that a login shell may print before it runs the script, and a program before its hello. */
const MAX_NOISE = 64 * 1024;

/** Characters of an unexpected line that are shown. */
const MAX_SHOWN = 200;

/** Lines of the script: each program is tried in a few places. */
const MAX_LINES = 100;

/** ms for an image to be pulled there. */
const PULL_TIMEOUT = 10 * 60_000;

/** The program that the remote side has started. */
export type StartedProgram =
  /** docker-over-ssh, whose tunnel comes next. */
  | { kind: "tunnel"; program: TunnelProgram }
  /** The next bytes are the engine's. docker also gives its API version, if the engine answered. */
  | { kind: "engine"; program: "docker" | "podman"; apiVersion?: string | undefined }
  /** The login has ended before the script wrote a line: the host has no shell that understands it, or allows none. */
  | { kind: "no-script"; status: number; failure: Failure };

export interface StartRemoteOptions {
  output: Output;
  signal: AbortSignal;
  /** Sends the image for a container to the engine there. Returns whether it is there now. */
  sendImage: (platform: Platform) => Promise<boolean>;
  /** Sends a Node. */
  sentNode: Pick<SentNode, "answer" | "send" | "passedOver">;
}

/**
 * Talks with the remote script until a program there is the remote side: then the stream stands at the first byte of the tunnel or of the engine.
 * Throws a Failure where no program suits.
 */
export async function startRemoteProgram(
  link: RemoteCommand,
  connection: HostConnection,
  request: TransferRequest,
  { output, signal, sendImage, sentNode }: StartRemoteOptions,
): Promise<StartedProgram> {
  const passedOver: string[] = [];
  const order = new LineOrder(connection.programs);
  let program: TunnelProgram = "installed";
  let timeout = request.timeout;
  for (let lines = 0; lines < MAX_LINES; lines++) {
    const next = await nextLine(link, timeout, signal, output, lines === 0);
    if (next.kind === "no-script") {
      const mayHelp = !connection.sudo && connection.programs.includes("engine");
      if (!mayHelp || isMissingHere(link) || !hasReachedShell(connection, next.status)) throw next.failure;
      return next;
    }
    link.answered();
    if (next.kind === "hello") return tunnel(link, program);
    const { line, words } = next;
    if (line === undefined || !order.accepts(line)) throw unknownLine(link, words);
    timeout = request.timeout;
    switch (line.kind) {
      case "pass":
        link.releaseLines("passed-over");
        passedOver.push(`${line.program}: ${line.reason}`);
        output.detail({ code: "program-passed-over", program: line.program, reason: line.reason });
        if (line.program === "node-sent") sentNode.passedOver(line.reason);
        break;
      case "try":
        program = line.program;
        output.detail({ code: "program-tried", program, what: line.what });
        link.holdLines();
        if (program === "installed") {
          const hello = await readHello(link, request, signal);
          if (hello === "this-protocol") return tunnel(link, program);
          if (hello === "other-protocol") answerOtherProtocol(link, request.role);
        }
        break;
      case "send": {
        const bundle = readPackedBundle();
        output.detail({ code: "bundle-sent", bytes: bundle.length });
        link.child.stdin.write(bundle);
        break;
      }
      case "run":
        return tunnel(link, program);
      case "pull":
        output.detail({ code: "image-pulled", image: line.image });
        timeout = PULL_TIMEOUT;
        break;
      case "image": {
        const isSent = line.platform !== undefined && (await sendImage(line.platform));
        link.child.stdin.write(isSent ? "sent\n" : "no\n");
        break;
      }
      case "system":
        link.child.stdin.write(`${await sentNode.answer(line.system)}\n`);
        break;
      case "send-node":
        await sentNode.send(link);
        break;
      case "engine":
        link.releaseLines("remote");
        return line;
      case "nothing":
        throw noUsableProgram(connection, passedOver, line.path);
    }
  }
  throw noUsableProgram(connection, passedOver, "");
}

function tunnel(link: RemoteCommand, program: TunnelProgram): StartedProgram {
  link.releaseLines("remote");
  return { kind: "tunnel", program };
}

/** What comes next. `hello`: of docker-over-ssh, which a login with a command of its own (ForceCommand) has started. */
type Next =
  | { kind: "line"; line: RemoteLine | undefined; words: string }
  | { kind: "hello" }
  | Extract<StartedProgram, { kind: "no-script" }>;

async function nextLine(
  link: RemoteCommand,
  timeout: number | undefined,
  signal: AbortSignal,
  output: Output,
  isFirst: boolean,
): Promise<Next> {
  const either = AbortSignal.any([signal, link.signal]);
  const find: typeof findMarkerOrHello = isFirst ? findMarkerOrHello : findMarker;
  const { found, before } = await withinAnswerTimeout(
    link,
    { timeout, ...(isFirst && { hint: silentLoginHint(link) }) },
    either,
    async (stop) => await readUntil(link.child.stdout, find, { max: MAX_NOISE, signal: stop }),
  );
  if (found === undefined) {
    const exit = await link.child.exit();
    const failure = engineUnreachable(link, exit, before);
    if (isFirst && exit?.status !== undefined) return { kind: "no-script", status: exit.status, failure };
    throw failure;
  }
  if (before.trim() !== "")
    output.detail({ code: "noise", printedBy: "login-shell", text: before.trim().slice(0, 4096) });
  if (found.words === undefined) return { kind: "hello" };
  return { kind: "line", line: parseRemoteLine(found.words), words: found.words };
}

/** Tells whether the shell of this side has not found the program that logs in. */
function isMissingHere(link: RemoteCommand): boolean {
  return /\bexec: .*not found/.test(link.lastLines());
}

function findMarkerOrHello(text: string): { start: number; end: number; words: string | undefined } | undefined {
  const hello = text.indexOf(MAGIC_LINE);
  const marker = findMarker(text);
  if (hello === -1 || (marker !== undefined && marker.start < hello)) return marker;
  return { start: hello, end: hello, words: undefined };
}

/**
 * Reads what an installed docker-over-ssh says first, without taking it from the stream: a hello of this protocol, one of another, or none.
 * A stream that ends, or says too much else, counts as this protocol: the tunnel finds the words for it.
 */
async function readHello(
  link: RemoteCommand,
  request: TransferRequest,
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
function answerOtherProtocol(link: RemoteCommand, role: TransferRequest["role"]): void {
  link.child.stdin.write(
    `${MAGIC_LINE}${JSON.stringify({ protocol: PROTOCOL_VERSION, tool: VERSION, role, features: [] })}\n`,
  );
}

function unknownLine({ words }: RemoteCommand, line: string): Failure {
  return new Failure(
    "remote-not-a-tunnel",
    `\`${words}\` wrote a line that the remote script does not write there: ${line.slice(0, MAX_SHOWN)}`,
    {
      expected: "the lines of the script that this docker-over-ssh sends there",
      hint: "Run the command again with --verbose, and report what it prints.",
    },
  );
}
