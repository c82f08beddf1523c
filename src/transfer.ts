import { homedir } from "node:os";
import { ASKS_AGAIN, CUTS_ON_DEMAND, type Result } from "./conversation/messages.ts";
import { EngineError } from "./engine/engine-error.ts";
import { openFileLimitError } from "./files/open-file-limit.ts";
import { InvalidImage } from "./image/invalid-image.ts";
import type { Reference } from "./image/reference.ts";
import { bytes, duration, plural } from "./output/describe.ts";
import { Failure, messageOf } from "./output/errors.ts";
import type { Output } from "./output/output.ts";
import { withoutFolders } from "./output/without-folders.ts";
import { isInitiator, type TransferOptions, type TransferRequest } from "./request.ts";
import { overTunnel, type TunnelConnection, type TunnelOptions } from "./stdio-tunnel/open.ts";
import type { Tunnel } from "./stdio-tunnel/session.ts";
import { abortable } from "./streams/abortable.ts";
import { VERSION } from "./version.ts";

/** What push and pull are given to work with. */
export interface Context {
  output: Output;
  /** Aborted when the process is told to stop. */
  signal: AbortSignal;
  env: NodeJS.ProcessEnv;
}

/** Why layers are not to be sent in pieces; undefined: they may be. `manifest`: one that is to be kept. */
export function reasonAgainstDelta(
  { delta, connection }: TransferOptions,
  manifest: unknown,
  { peer }: Pick<Tunnel, "peer">,
): string | undefined {
  if (delta === "never") return "--delta never was given";
  if (!peer.features.includes(CUTS_ON_DEMAND)) return "the remote side has another version of docker-over-ssh";
  // What could be spared has crossed the link by then.
  if (connection.kind === "in-process") return "one side is nothing but an engine";
  if (manifest !== undefined) return "with --preserve-digest they go as they are stored";
  return undefined;
}

/** Errors of the engine and of what was read, as a person should be told them; others as they are. */
export function explained(error: unknown): unknown {
  const outOf = openFileLimitError(error);
  if (outOf !== undefined) return tooManyFiles(outOf);
  if (error instanceof EngineError) {
    return new Failure("transfer-failed", `the engine would not go on: ${messageOf(error)}`, {
      expected: "it to do what it was asked for; the words are its own",
      hint: "Look at the engine's log, then run the same command again.",
      cause: error,
    });
  }
  if (!(error instanceof InvalidImage)) return error;
  return new Failure("not-verified", `the image is not what it should be: ${error.message}`, {
    expected: "content that has the digests that it is named by",
    hint: "Nothing was given its name. Run the same command again; if it happens again, please report it.",
    cause: error,
  });
}

function tooManyFiles(cause: Error): Failure {
  return new Failure("transfer-failed", `no more files can be opened: ${messageOf(cause)}`, {
    expected: "a limit of 256 open files, pipes and connections or more for this process (ulimit -n)",
    hint: "Raise it, for instance with `ulimit -n 1024`, and run the same command again.",
    cause,
  });
}

/**
 * The last line that people read. The names as they were typed here; `ms` since the start of the command; `onWire`: bytes that
 * went through the tunnel.
 */
export function summarize(
  verb: "pushed" | "pulled",
  image: string,
  as: Reference | undefined,
  result: Result,
  onWire: number,
  ms: number,
): string {
  const found = result.bytesFound > 0 ? ` (${bytes(result.bytesFound)} made of files there)` : "";
  const sent = `${bytes(onWire)} ${verb === "pushed" ? "sent" : "received"} for ${plural(result.layersSent, "layer")}${found}`;
  // How large a layer is that nobody looked at is not always known.
  const size = result.bytesPresent > 0 ? ` (${bytes(result.bytesPresent)})` : "";
  const present = `${plural(result.layersPresent, "layer")}${size} there already`;
  return `${verb} ${image}${as === undefined ? "" : ` as ${as.given}`}: ${sent}, ${present}, in ${duration(ms)}`;
}

/** What a tunnel needs to be opened for a side of a transfer. */
export function tunnelOptions(
  request: TransferRequest,
  connection: TunnelConnection,
  { output }: Context,
  { ready, signal }: ConnectOptions,
): TunnelOptions {
  const { role, timeout, bwlimit } = request;
  return {
    role,
    tool: VERSION,
    ...imageFor(request),
    features: [ASKS_AGAIN, CUTS_ON_DEMAND],
    connection,
    timeout,
    rate: bwlimit,
    ready,
    signal,
    onRemoteLine: (line) => output.far(line),
    onDetail: (text) => output.detail(text),
    explain: explained,
    tells: isInitiator(request.connection) ? toldWithoutFolders(request) : undefined,
  };
}

/** The image as it was typed, and what the other side hears of it, who has no use for a path of this machine. */
function imageFor(request: TransferRequest): Pick<TunnelOptions, "image" | "reference"> {
  if (request.role === "receiver") return { image: request.image.given, reference: request.image.given };
  const { source } = request;
  const reference = source.kind === "docker-daemon" ? source.image.given : source.reference;
  return { image: source.given, reference };
}

/** A failure without the folders of this machine, for a remote side that somebody here has started, and who reads all of it here. */
function toldWithoutFolders(request: TransferRequest): (failure: Failure) => Failure {
  const location = request.role === "sender" ? request.source : request.target;
  const hide = withoutFolders(location.kind === "docker-daemon" ? [] : [location.path], homedir());
  return ({ code, message, expected = "", hint = "" }) =>
    new Failure(code, hide(message), { expected: hide(expected), hint: hide(hint) });
}

/** Bytes that a transfer costs, both ways. */
export interface Wire {
  readonly bytesSent: number;
  readonly bytesReceived: number;
}

/** What a side does when it has got to the other. */
type Use = (tunnel: Tunnel, signal: AbortSignal, wire: Wire) => Promise<void>;

/** On the way before all is at hand that is needed on this side. */
interface ConnectOptions {
  /** Resolves when it is. Nothing is said to the other side before. */
  ready: Promise<unknown>;
  /** Ends the way, also when `ready` rejects. */
  signal: AbortSignal;
}

/** How a side of a transfer gets to the other: starts what is to be started, opens a tunnel, lets `use` work with it, and closes it. */
export type Connect = (use: Use, out: ConnectOptions) => Promise<void>;

/** Connects to docker-over-ssh at the end of the remote command; a spawned side, to the side that started it. */
export function connectByCommand(request: TransferRequest, context: Context): Connect {
  const { connection } = request;
  const over: TunnelConnection =
    connection.kind === "command" ? { kind: "command", words: connection.words } : { kind: "spawned" };
  return async (use, out) =>
    await overTunnel(
      tunnelOptions(request, over, context, out),
      async (tunnel, stop) => await use(tunnel, stop, tunnel),
    );
}

/**
 * Goes the way while what is needed on this side is still being looked for: a login takes longer than that. Where it is not to be had, the
 * other side has been told nothing, and its absence is what this rejects with, whatever is wrong over there.
 */
export async function connectEarly(
  connect: Connect,
  ready: Promise<unknown>,
  signal: AbortSignal,
  use: Use,
): Promise<void> {
  const absent = new AbortController();
  ready.catch((error: unknown) => absent.abort(error));
  try {
    await connect(use, { ready, signal: AbortSignal.any([signal, absent.signal]) });
  } catch (error) {
    await abortable(ready, signal);
    throw error;
  }
}
