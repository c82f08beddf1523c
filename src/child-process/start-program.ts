import type { Readable, Writable } from "node:stream";
import { execa } from "execa";
import { checkOpenFileLimit } from "../files/open-file-limit.ts";
import { resolveWithin } from "../streams/resolve-within.ts";
import type { Exit } from "./exit.ts";

/**
 * ms that the rest of stderr may take after the program has ended. An ssh that leaves a master connection behind (ControlPersist) ends
 * while the master holds its stderr open.
 */
const STDERR_TIMEOUT = 500;

/** A program that runs with pipes for stdin, stdout and stderr, which the caller reads and closes. */
export interface Program {
  readonly stdin: Writable & { readonly bytesWritten: number };
  readonly stdout: Readable;
  readonly stderr: Readable;
  /** Resolves when the program has ended and its stderr has been read; never rejects. */
  readonly exit: Promise<Exit>;
  /** Sends a signal. SIGTERM, the default, is followed by SIGKILL. */
  kill(signal?: "SIGTERM" | "SIGKILL"): void;
  /** Makes the program keep this process alive, which is the default. */
  ref(): void;
  /** Lets this process end while the program runs. */
  unref(): void;
}

export interface StartOptions {
  /** ms between SIGTERM and SIGKILL. */
  killTimeout: number;
  /**
   * Starts the program in a session of its own, as docker/cli does for ssh. Ctrl-C reaches every process of the terminal's foreground
   * group, and this program is still needed to clean up after the run. Has no effect on Windows, where it would open a console.
   */
  ownSession?: boolean;
  /** The complete environment of the program, whose PATH finds it. Default: the environment of this process. */
  env?: NodeJS.ProcessEnv;
}

/**
 * Starts a program; no shell interprets the arguments. If it cannot be started, `exit` contains the error.
 *
 * @throws the file system's error if this process may not open enough files
 */
export function startProgram(
  program: string,
  argv: readonly string[],
  { killTimeout, ownSession = false, env }: StartOptions,
): Program {
  checkOpenFileLimit();
  const child = execa(program, argv, {
    stdin: "pipe",
    stdout: "pipe",
    stderr: "pipe",
    buffer: false,
    reject: false,
    forceKillAfterDelay: killTimeout,
    ...(env && { env, extendEnv: false }),
    detached: ownSession && process.platform !== "win32",
  });
  const { stdin, stdout, stderr } = child;
  const handles = [child, stdin, stdout, stderr] as { ref?: () => void; unref?: () => void }[]; // pipes are net.Sockets
  return {
    stdin: stdin as typeof stdin & { bytesWritten: number },
    stdout,
    stderr,
    exit: exitOf(child),
    kill: (signal = "SIGTERM") => void child.kill(signal),
    ref: () => handles.forEach((handle) => handle.ref?.()),
    unref: () => handles.forEach((handle) => handle.unref?.()),
  };
}

/** The part of execa's subprocess that {@link exitOf} uses. */
interface Child extends PromiseLike<{ cause?: unknown }> {
  once(event: "exit" | "close", listener: (status: number | null, signal: string | null) => void): unknown;
}

async function exitOf(child: Child): Promise<Exit> {
  const closed = new Promise((resolve) => child.once("close", resolve));
  const exit = await new Promise<Exit>((resolve) => {
    child.once("exit", (status, signal) => resolve({ status: status ?? undefined, signal: signal ?? undefined }));
    void child.then(({ cause }) => resolve({ error: cause as Error }));
  });
  if (exit.error === undefined) await resolveWithin(STDERR_TIMEOUT, closed);
  return exit;
}
