import { Failure } from "../output/errors.ts";
import { shownCommand } from "../output/secrets.ts";
import { timeoutsFor } from "../streams/timeouts.ts";
import type { RemoteProcess } from "./remote-process.ts";
import { MAGIC_LINE, PROTOCOL_VERSION } from "./constants.ts";
import { shakeHands, type Role } from "./handshake.ts";
import type { Tunnel } from "./session.ts";
import { ownStdio } from "./transport.ts";

/** The stream that carries the tunnel. */
export type TunnelConnection =
  /** This process is the spawned side: the tunnel is on its own stdin and stdout. */
  | { kind: "spawned" }
  /** A remote command to run, word for word. */
  | { kind: "command"; words: readonly string[] }
  /** A remote command that runs already. It is ended with the tunnel. */
  | { kind: "running"; process: RemoteProcess };

export interface TunnelOptions {
  role: Role;
  /** Version of this tool, for the other end's messages. */
  tool: string;
  /** What this end was asked for, for messages here. */
  image: string;
  /** The reference in it, for the hello; left out where there is none. Where the image lies here is nobody's business there. */
  reference?: string | undefined;
  /** Abilities of the program above, for the hello (PROTOCOL.md, 1). */
  features?: readonly string[] | undefined;
  connection: TunnelConnection;
  /** ms without an answer, or later without a sign of life, after which to give up. */
  timeout?: number | undefined;
  /** ms the far command is given to leave, first by itself, then after SIGTERM. */
  leaveTimeout?: number | undefined;
  /** Bytes a second that may go to the far end, and as many that may come from it. One that runs already has its own. */
  rate?: number | undefined;
  /** A far command hears nothing before this has resolved. To reject is for `signal`. */
  ready?: Promise<unknown> | undefined;
  signal: AbortSignal;
  /** Lines that the far command writes to its stderr. */
  onRemoteLine: (line: string) => void;
  /** What is being done, for --verbose. */
  onDetail: (text: string) => void;
  /** A failure as the far end may hear it. Left out: all of it. */
  tells?: ((failure: Failure) => Failure) | undefined;
  /** Makes errors of the program above into failures that a person, here or at the far end, can read. */
  explain?: (error: unknown) => unknown;
}

/**
 * Opens a tunnel, lets `use` work with it, and closes it.
 *
 * When `use` fails, the far end is told why before the tunnel closes; when the tunnel ends first, the failure says why it
 * did. Either way nothing that was opened here is open when the promise settles.
 */
export async function overTunnel<T>(
  options: TunnelOptions,
  use: (tunnel: Tunnel, signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const { role, tool, image, features = [], connection, timeout, leaveTimeout, rate, ready, signal } = options;
  signal.throwIfAborted();
  const isSpawned = connection.kind === "spawned";
  if (isSpawned) refuseTerminal(role, image);
  const start = async (words: readonly string[]): Promise<RemoteProcess> => {
    options.onDetail(`running ${shownCommand(words)}`);
    const { spawnRemote } = await import("./remote-process.ts"); // with its library: 50 ms that a spawned end need not spend
    return spawnRemote(words, options.onRemoteLine, { leaveTimeout, rate });
  };
  await using remote: RemoteProcess | undefined =
    connection.kind === "command"
      ? await start(connection.words)
      : connection.kind === "running"
        ? connection.process
        : undefined;
  const transport = remote?.transport ?? ownStdio(rate);
  transport.on("error", () => {});
  const session = import("./session.ts"); // with HTTP/2, 6 ms: the far command has been started, or the hello is the first thing said
  try {
    const reference = options.reference === undefined ? {} : { image: options.reference };
    const hello = { protocol: PROTOCOL_VERSION, tool, role, features: [...features], ...reference };
    const end = isSpawned ? "spawned" : "spawner";
    const greeting = await shakeHands(transport, { end, hello, ready, timeout, signal });
    if (greeting.noise !== "")
      options.onDetail(`before the tunnel opened, the remote side printed: ${greeting.noise.trim()}`);
    options.onDetail(`the tunnel is open; the remote side is docker-over-ssh ${greeting.peer.tool}`);
    const { Tunnel } = await session;
    await using tunnel = new Tunnel(transport, greeting, {
      role,
      silence: timeout,
      timeouts: timeoutsFor(timeout),
      spawned: isSpawned,
    });
    return await telling(tunnel, options, use);
  } catch (error) {
    transport.destroy();
    throw (await remote?.explain(error)) ?? error;
  }
}

/**
 * Runs `use` until it is done, the process is told to stop, or the tunnel ends; the first of these is the outcome. What goes
 * wrong here is told to the far end.
 */
export async function telling<T>(
  tunnel: Tunnel,
  {
    signal,
    explain = (error) => error,
    tells = (failure) => failure,
  }: Pick<TunnelOptions, "signal" | "explain" | "tells">,
  use: (tunnel: Tunnel, signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const either = AbortSignal.any([signal, tunnel.signal]);
  try {
    return await use(tunnel, either);
  } catch (thrown) {
    // What failed because the tunnel went, or because a person pressed Ctrl-C, failed for that reason.
    const error: unknown = either.aborted ? either.reason : explain(thrown);
    const failure = error instanceof Failure ? error : new Failure("transfer-failed", wordsFor(error));
    const told = await tunnel.fail(tells(failure));
    if (told && error instanceof Error) toldErrors.add(error);
    throw error;
  }
}

const toldErrors = new WeakSet<Error>();

/** True when the far end has been told of this error, so that it need not be printed on both sides. */
export function wasTold(error: unknown): boolean {
  return error instanceof Error && toldErrors.has(error);
}

function wordsFor(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function refuseTerminal(role: string, image: string): void {
  if (!process.stdin.isTTY && !process.stdout.isTTY) return;
  const verb = role === "sender" ? "push" : "pull";
  const other = role === "sender" ? "pull" : "push";
  throw new Failure(
    "usage",
    `\`docker-over-ssh ${verb} ${image}\` without a command speaks on its stdin and stdout, and one of them is a terminal`,
    {
      expected: `a command that runs the other side, or to be that command: ${MAGIC_LINE.trim()} is not for people`,
      hint: `docker-over-ssh ${verb} ${image} ssh HOST "docker-over-ssh ${other} ${image}"  (and no pty for ssh: no -t)`,
    },
  );
}
