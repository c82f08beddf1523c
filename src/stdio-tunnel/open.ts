import { Failure } from "../output/errors.ts";
import type { Detail } from "../output/details.ts";
import { shownCommand } from "../output/secrets.ts";
import { timeoutsFor } from "../streams/timeouts.ts";
import type { RemoteProcess } from "./remote-process.ts";
import { PROTOCOL_VERSION } from "./constants.ts";
import type { Conversation } from "./conversation.ts";
import { shakeHands, type Greeting, type Role } from "./handshake.ts";
import type { Tunnel } from "./session.ts";
import { ownStdio, type StdioTransport } from "./transport.ts";

/** The stream that carries the tunnel. */
export type TunnelConnection =
  /** This process is the spawned side, and its stdin and stdout carry the tunnel. */
  | { kind: "spawned" }
  /** A remote command to run: a program and its arguments. */
  | { kind: "command"; words: readonly string[] }
  /** A remote command that is already running. It ends with the tunnel. */
  | { kind: "running"; process: RemoteProcess };

export interface TunnelOptions {
  role: Role;
  /** Version of this tool, for the peer's messages. */
  tool: string;
  /** The image argument, for messages on this side. */
  image: string;
  /** The reference in it, for the hello; undefined if there is none. A path of this side is not sent to the peer. */
  reference?: string | undefined;
  /** Features of the program above, for the hello (PROTOCOL.md, 1). */
  features?: readonly string[] | undefined;
  connection: TunnelConnection;
  /** ms without an answer, or later without a sign of life, after which this side gives up. */
  timeout?: number | undefined;
  /** ms within which the remote command must end, first by itself, then after SIGTERM. */
  leaveTimeout?: number | undefined;
  /** The limit of bytes per second to the peer, and of bytes per second from the peer. A running command has its own limit. */
  rate?: number | undefined;
  /** Nothing is sent to a remote command before this has resolved. It does not reject; instead, `signal` is aborted. */
  ready?: Promise<unknown> | undefined;
  signal: AbortSignal;
  /** Called with each line of the remote command's stderr. */
  onRemoteLine: (line: string) => void;
  /** For --verbose. */
  onDetail: (detail: Detail) => void;
  /** Returns the version of a failure that the peer may see. Default: the failure itself. */
  failureForPeer?: ((failure: Failure) => Failure) | undefined;
  /** Turns errors of the program above into Failures for people. */
  explain?: (error: unknown) => unknown;
}

/**
 * Opens a tunnel, calls `use` with it, and closes it.
 *
 * If `use` fails, the peer gets the failure before the tunnel closes. If the tunnel ends first, this rejects with its reason. In both
 * cases, everything that this function has opened is closed when the promise settles.
 */
export async function overTunnel<T>(
  options: TunnelOptions,
  use: (tunnel: Tunnel, signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const { role, image, connection, timeout, rate, signal } = options;
  signal.throwIfAborted();
  const isSpawned = connection.kind === "spawned";
  if (isSpawned) refuseTerminal(role, image);
  await using remote = await remoteProcess(options);
  const transport = remote?.transport ?? ownStdio(rate);
  transport.on("error", () => {});
  const session = import("./session.ts"); // loads HTTP/2 (6 ms) while the remote command starts or the hello is sent
  try {
    const greeting = await greet(transport, options);
    const { Tunnel } = await session;
    await using tunnel = new Tunnel(transport, greeting, {
      role,
      silence: timeout,
      timeouts: timeoutsFor(timeout),
      spawned: isSpawned,
    });
    return await useTunnel(tunnel, options, use);
  } catch (error) {
    transport.destroy();
    throw (await remote?.explain(error)) ?? error;
  }
}

/** Returns the remote command's process, and starts it if necessary. Returns undefined for the spawned side. */
async function remoteProcess({
  connection,
  leaveTimeout,
  rate,
  onRemoteLine,
  onDetail,
}: TunnelOptions): Promise<RemoteProcess | undefined> {
  if (connection.kind === "spawned") return undefined;
  if (connection.kind === "running") return connection.process;
  onDetail({ code: "command-started", command: shownCommand(connection.words) });
  const { spawnRemote } = await import("./remote-process.ts"); // loads a library (50 ms) that the spawned side does not need
  return spawnRemote(connection.words, onRemoteLine, { leaveTimeout, rate });
}

/** Exchanges the hellos. */
async function greet(transport: StdioTransport, options: TunnelOptions): Promise<Greeting> {
  const { role, tool, features = [], reference, connection, ready, timeout, signal, onDetail } = options;
  const image = reference === undefined ? {} : { image: reference };
  const hello = { protocol: PROTOCOL_VERSION, tool, role, features: [...features], ...image };
  const origin = connection.kind === "spawned" ? "spawned" : "initiator";
  const greeting = await shakeHands(transport, { origin, hello, ready, timeout, signal });
  if (greeting.noise !== "") onDetail({ code: "noise", printedBy: "remote-side", text: greeting.noise.trim() });
  onDetail({ code: "tunnel-opened", peerVersion: greeting.peer.tool });
  return greeting;
}

/**
 * Calls `use`, and waits until it settles, `signal` is aborted, or the tunnel or the conversation in it ends. The first of these events is
 * the outcome. Reports a failure of this side to the peer.
 */
export async function useTunnel<T, Ending extends Pick<Conversation, "signal" | "fail">>(
  tunnel: Ending,
  {
    signal,
    explain = (error) => error,
    failureForPeer = (failure) => failure,
  }: Pick<TunnelOptions, "signal" | "explain" | "failureForPeer">,
  use: (tunnel: Ending, signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const either = AbortSignal.any([signal, tunnel.signal]);
  try {
    return await use(tunnel, either);
  } catch (thrown) {
    // After Ctrl-C, or the end of the tunnel, that is the reason for any error.
    const error: unknown = either.aborted ? either.reason : explain(thrown);
    const text = error instanceof Error ? error.message : String(error);
    const failure = error instanceof Failure ? error : new Failure("transfer-failed", text);
    const reported = await tunnel.fail(failureForPeer(failure));
    if (reported && error instanceof Error) reportedErrors.add(error);
    throw error;
  }
}

const reportedErrors = new WeakSet<Error>();

/** Returns whether this error was reported to the peer, so that only one side prints it. */
export function wasReported(error: unknown): boolean {
  return error instanceof Error && reportedErrors.has(error);
}

function refuseTerminal(role: string, image: string): void {
  if (!process.stdin.isTTY && !process.stdout.isTTY) return;
  const verb = role === "sender" ? "push" : "pull";
  const other = role === "sender" ? "pull" : "push";
  throw new Failure(
    "usage",
    `\`docker-over-ssh ${verb} ${image}\` without a command uses its stdin and stdout as the tunnel, and one of them is a terminal`,
    {
      expected: "a remote command, or to be run as the remote command of another docker-over-ssh",
      hint: `docker-over-ssh ${verb} ${image} ssh HOST "docker-over-ssh ${other} ${image}"  (and no pty for ssh: no -t)`,
    },
  );
}
