import { homedir } from "node:os";
import { CUTS_ON_DEMAND, DRY_RUN, FEATURES } from "./conversation/features.ts";
import type { About, Result } from "./conversation/messages.ts";
import { explainError } from "./explain-error.ts";
import { platformTexts } from "./image/index-content.ts";
import { formatPlatform } from "./image/platform.ts";
import type { WholeReason } from "./output/details.ts";
import { Failure } from "./output/errors.ts";
import type { TransferEvent, TransferName, TransferResult, TransferRole } from "./output/events.ts";
import { outputFor, type Output } from "./output/output.ts";
import { withoutFolders } from "./output/without-folders.ts";
import { isInitiator, isOneProcess, type SharedRequest, type TransferRequest } from "./request.ts";
import { overTunnel, type TunnelConnection, type TunnelOptions } from "./stdio-tunnel/open.ts";
import type { Conversation } from "./stdio-tunnel/conversation.ts";
import type { Tunnel } from "./stdio-tunnel/session.ts";
import { abortable } from "./streams/abortable.ts";
import type { Traffic } from "./traffic.ts";
import { VERSION } from "./version.ts";

/** The context of a transfer. */
export interface Context {
  output: Output;
  /** Aborted when the transfer must stop. */
  signal: AbortSignal;
  env: NodeJS.ProcessEnv;
  /**
   * Resolves when a login may ask on the terminal, on which several hosts take turns. Calling the result ends the turn; an answer of the
   * remote side also ends it. If undefined, a login may ask at once.
   */
  login?: () => Promise<() => void>;
}

/** Returns the name of a transfer among others, for its events. */
export function transferName(request: TransferRequest): TransferName {
  const { connection } = request;
  return { image: imageOf(request), ...(connection.kind === "host" && { host: connection.given }) };
}

/** Returns the context of a transfer, which adds the transfer's name to its events. */
export function contextOf(request: TransferRequest, context: Context): Context {
  return { ...context, output: outputFor(context.output, transferName(request)) };
}

/** Returns the image of a request, verbatim from the command line; "" for any image that the sender offers. */
export function imageOf(request: TransferRequest): string {
  return request.role === "sender" ? request.source.given : (request.image?.given ?? "");
}

/** Returns why layers must be sent whole; undefined if they may be sent by delta. `manifest`, `index`: those to preserve. */
export function reasonAgainstDelta(
  { delta, connection }: SharedRequest,
  { manifest, index }: { manifest?: unknown; index?: unknown },
  { peer }: Pick<Conversation, "peer">,
): WholeReason | undefined {
  if (delta === "never") return "option";
  if (!peer.features.includes(CUTS_ON_DEMAND)) return "other-version";
  // The layers cross the link before this process has them.
  if (connection.kind === "in-process" && connection.with === "engine") return "engine-alone";
  if (isOneProcess(connection)) return "one-machine";
  if (manifest !== undefined) return "preserved-digest";
  if (index !== undefined) return "preserved-index";
  return undefined;
}

/** A transfer whose event `started` was emitted. */
export interface StartedTransfer {
  /** When it started, in ms. */
  readonly started: number;
  /** Emits the event `result`, and returns the result. */
  succeed: (result: TransferResult) => TransferResult;
}

/** Emits the event `started` of a transfer. */
export function startTransfer(request: TransferRequest, { output }: Pick<Context, "output">): StartedTransfer {
  output.event({ type: "started", role: request.role, image: imageOf(request) });
  return {
    started: performance.now(),
    succeed(result) {
      output.event({ type: "result", ...result });
      return result;
    },
  };
}

/** Returns the plan of a transfer. `missing`: layers; undefined if an engine will determine them by itself. */
export function planEvent(
  role: TransferRole,
  image: string,
  { diffIds, platform, index }: Pick<About, "diffIds" | "platform" | "index">,
  missing: number | undefined,
): TransferEvent {
  const platforms = platformTexts(index);
  return {
    type: "plan",
    role,
    image,
    platform: formatPlatform(platform),
    ...(platforms && { platforms }),
    layers: diffIds.length,
    missing,
  };
}

/** Creates the result of a transfer from the receiver's `result` message. `ms`: time since the transfer began. */
export function transferResult(
  request: TransferRequest,
  { names, id, manifestDigest, layersSent, layersPresent, bytesPresent, bytesFound, plan, removed, bytesFreed }: Result,
  { bytesSent, bytesReceived }: Traffic,
  ms: number,
): TransferResult {
  const counts = { layersSent, layersPresent, bytesPresent, bytesRebuilt: bytesFound, bytesSent, bytesReceived };
  const { role } = request;
  const image = imageOf(request) || names[0];
  const name = request.role === "sender" ? request.as : request.isRenamed ? request.name : undefined;
  const several = names.length > 1 && { names };
  return {
    role,
    image,
    ...(name && { name: name.given }),
    ...several,
    ...(removed && removed.length > 0 && { removed }),
    ...(bytesFreed !== undefined && { bytesFreed }),
    id,
    ...(manifestDigest !== undefined && { manifestDigest }),
    ...counts,
    ms: Math.round(ms),
    ...(plan && { isDryRun: true }),
  };
}

/** Returns the features in the hello of this side. */
export function featuresOf({ dryRun }: Pick<SharedRequest, "dryRun">): string[] {
  return [...FEATURES, ...(dryRun ? [DRY_RUN] : [])];
}

/** Returns the options of the tunnel for this side of a transfer. */
export function tunnelOptions(
  request: TransferRequest,
  connection: TunnelConnection,
  { output }: Context,
  { ready, signal, features = [] }: ConnectOptions,
): TunnelOptions {
  const { role, timeout, bwlimit } = request;
  return {
    role,
    tool: VERSION,
    ...imageFor(request),
    features: [...featuresOf(request), ...features],
    connection,
    timeout,
    rate: bwlimit,
    ready,
    signal,
    onRemoteLine: (line) => output.event({ type: "remote", line }),
    onDetail: (detail) => output.detail(detail),
    explain: explainError,
    failureForPeer: failureForPeer(request),
  };
}

/** Returns the image from the command line without paths, which the peer must not learn, and the reference in it. */
function imageFor(request: TransferRequest): Pick<TunnelOptions, "image" | "reference"> {
  if (request.role === "receiver") return { image: imageOf(request), reference: request.image?.given };
  const { source } = request;
  const reference = source.kind === "docker-daemon" ? source.image.given : source.name?.given;
  return { image: source.given, reference };
}

/** Returns how failures of this side are sent to the peer: those of a spawned side in full, because people read them only on the peer's side. */
export function failureForPeer(request: TransferRequest): TunnelOptions["failureForPeer"] {
  return isInitiator(request.connection) ? withoutOwnFolders(request) : undefined;
}

/** Removes folders of this machine from failures that are sent to the peer. People on this side read them in full. */
function withoutOwnFolders(request: TransferRequest): (failure: Failure) => Failure {
  const location = request.role === "sender" ? request.source : request.target;
  const hide = withoutFolders(location.kind === "docker-daemon" ? [] : [location.path], homedir());
  return ({ code, message, expected = "", hint = "" }) =>
    new Failure(code, hide(message), { expected: hide(expected), hint: hide(hint) });
}

/** Uses the open tunnel. */
export type Use<T> = (tunnel: Tunnel, signal: AbortSignal, traffic: Traffic) => Promise<T>;

interface ConnectOptions {
  /** Resolves when this side is ready. Nothing is sent to the remote side before that. */
  ready: Promise<unknown>;
  /** Aborts the attempt, even if `ready` rejects. */
  signal: AbortSignal;
  /**
   * Further features of this side. CONVERSATIONS: this side transfers several images, each in a conversation of its own if the peer
   * supports several conversations.
   */
  features?: readonly string[] | undefined;
}

/** Reaches the remote side: starts the remote command if there is one, opens a tunnel, lets `use` work with it, and closes it. */
export type Connect = <T>(use: Use<T>, options: ConnectOptions) => Promise<T>;

/** Connects to docker-over-ssh at the end of the remote command; on a spawned side, to the side that started it. */
export function connectByCommand(request: TransferRequest, context: Context): Connect {
  const { connection } = request;
  const over: TunnelConnection =
    connection.kind === "command" ? { kind: "command", words: connection.words } : { kind: "spawned" };
  return async (use, options) =>
    await overTunnel(
      tunnelOptions(request, over, context, options),
      async (tunnel, stop) => await use(tunnel, stop, tunnel),
    );
}

/**
 * Connects while this side is getting ready, because a login takes longer. If this side cannot get ready, nothing has been sent, and the function
 * rejects with that error, even if the connection also fails.
 */
export async function connectEarly<T>(
  connect: Connect,
  ready: Promise<unknown>,
  signal: AbortSignal,
  use: Use<T>,
  more: Pick<ConnectOptions, "features"> = {},
): Promise<T> {
  const unready = new AbortController();
  ready.catch((error: unknown) => unready.abort(error));
  try {
    return await connect(use, { ready, signal: AbortSignal.any([signal, unready.signal]), ...more });
  } catch (error) {
    await abortable(ready, signal);
    throw error;
  }
}
