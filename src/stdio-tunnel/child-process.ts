import type { Socket } from "node:net";
import type { Readable, Writable } from "node:stream";
import { execa } from "execa";
import { checkOpenFileLimit } from "../files/open-file-limit.ts";
import { Failure, messageOf } from "../output/errors.ts";
import { shownCommand } from "../output/secrets.ts";
import { LAST_WORDS_TIMEOUT, LEAVE_TIMEOUT } from "./constants.ts";
import { RemoteFailure } from "./failures.ts";
import { HandshakeError } from "./handshake.ts";
import { onLines } from "../streams/lines.ts";
import { readAtRate, writeAtRate } from "../streams/rate.ts";
import { resolveWithin } from "../streams/resolve-within.ts";
import { StdioTransport } from "./transport.ts";

/** How a child ended, as far as it has. */
export interface Exit {
  status?: number | null;
  signal?: string | null;
  /** It could not be started at all. */
  error?: Error | undefined;
}

/** Of execa's subprocess, what {@link exitOf} needs. */
interface Child extends PromiseLike<{ cause?: unknown }> {
  once(event: "exit" | "close", listener: (status: number | null, signal: string | null) => void): unknown;
}

/** The far command as a child of this process. */
export interface RemoteProcess extends AsyncDisposable {
  readonly stdin: Writable;
  readonly stdout: Readable;
  /** Both of them as one, from when this is asked for; owned by whoever opens a tunnel over it. */
  readonly transport: StdioTransport;
  /** How the child ended; undefined when it still runs after a moment. */
  exit(): Promise<Exit | undefined>;
  /** The failure in the light of how the child ended, which this waits for, briefly. */
  explain(failure: unknown): Promise<unknown>;
}

export interface SpawnOptions {
  /** ms the child is given to leave, first by itself, then after SIGTERM. */
  leaveTimeout?: number | undefined;
  /** What messages call it. */
  words?: string | undefined;
  /** Bytes a second that may go into it, and as many that may come out of it. */
  rate?: number | undefined;
}

/**
 * Runs `command` (a program and its arguments, passed on as they are; no shell) with pipes for stdin and stdout.
 * Lines of its stderr go to `onStderr` as they come, also an unfinished one that a prompt leaves.
 *
 * Disposing closes its stdin, waits for it to leave, then sends SIGTERM and SIGKILL (PROTOCOL.md, 5), `leaveTimeout` ms
 * apart. A child that has been told nothing has nothing to bring to an end, and gets its SIGTERM at once: an ssh that is still logging
 * in would not see the end of its stdin. Throws where the process may open no more files.
 */
export function spawnRemote(
  command: readonly string[],
  onStderr: (line: string) => void,
  { leaveTimeout = LEAVE_TIMEOUT, words = shownCommand(command), rate }: SpawnOptions = {},
): RemoteProcess {
  const [file = "", ...args] = command;
  checkOpenFileLimit();
  const child = execa(file, args, {
    stdin: "pipe",
    stdout: "pipe",
    stderr: "pipe",
    buffer: false,
    reject: false,
    forceKillAfterDelay: leaveTimeout,
  });
  let isOfInterest = true;
  onLines(child.stderr, (line) => {
    if (isOfInterest) onStderr(line);
  });
  const stdin = writeAtRate(child.stdin, rate);
  const stdout = readAtRate(child.stdout, rate);
  stdin.on("error", () => {}); // EPIPE after the child has left: its exit says more
  const exit = exitOf(child);
  let transport: StdioTransport | undefined;
  return {
    stdin,
    stdout,
    get transport() {
      return (transport ??= new StdioTransport(stdout, stdin).on("error", () => {}));
    },
    exit: async () => await resolveWithin(leaveTimeout, exit),
    async explain(failure) {
      if (!(failure instanceof Failure) || failure instanceof RemoteFailure) return failure;
      if (failure instanceof HandshakeError && !failure.ended) return withNoise(failure, words);
      if (!(failure instanceof HandshakeError) && failure.code !== "link-lost") return failure;
      return explainExit(failure, file, words, await resolveWithin(leaveTimeout, exit));
    },
    async [Symbol.asyncDispose]() {
      if ((child.stdin as Socket).bytesWritten === 0) {
        isOfInterest = false; // that it was ended, by whom we know
        child.kill("SIGTERM");
      }
      stdin.end();
      if ((await resolveWithin(leaveTimeout, exit)) === undefined) child.kill("SIGTERM");
      await exit;
      transport?.destroy();
      for (const stream of [stdin, stdout, child.stderr]) stream.destroy();
    },
  };
}

/**
 * Resolves when the child has ended and its last words have been read. Another process may hold its stderr for as long
 * as it likes (the master of ssh's ControlPersist does): that is waited for only briefly.
 */
async function exitOf(child: Child): Promise<Exit> {
  const closed = new Promise((resolve) => child.once("close", resolve));
  const exit = await new Promise<Exit>((resolve) => {
    child.once("exit", (status, signal) => resolve({ status, signal }));
    void child.then(({ cause }) => resolve({ error: cause as Error }));
  });
  if (exit.error === undefined) await resolveWithin(LAST_WORDS_TIMEOUT, closed);
  return exit;
}

function explainExit(failure: Failure, program: string, words: string, exit: Exit | undefined): Failure {
  if (exit?.error !== undefined) {
    const missing = (exit.error as NodeJS.ErrnoException).code === "ENOENT";
    return new Failure(
      "remote-command-not-found",
      missing
        ? `cannot run \`${words}\`: there is no program \`${program}\` here`
        : `cannot run \`${words}\`: ${messageOf(exit.error)}`,
      {
        expected:
          'a command that runs docker-over-ssh on the other side, for instance ssh HOST "docker-over-ssh pull IMAGE"',
        hint: 'Give program and arguments as separate words, or run a whole line with sh -c "…".',
        cause: exit.error,
      },
    );
  }
  const text = { expected: failure.expected ?? "", hint: failure.hint ?? "", cause: failure };
  if (failure.code === "link-lost") {
    return new Failure("link-lost", `${failure.message}: \`${words}\` ${ending(exit)}`, text);
  }
  const noise = failure instanceof HandshakeError ? failure.noise : "";
  if (exit?.status === 127 || exit?.status === 126) {
    return new Failure(
      "remote-command-not-found",
      `\`${words}\` ${ending(exit)}: the remote shell found no such command${printed(noise)}`,
      {
        expected:
          "docker-over-ssh to be installed on the other side, and in the PATH of a shell that is not a login shell",
        hint: "Install it there, name its full path in the command, or put ssh://HOST in its place, for which an engine there is enough.",
        cause: failure,
      },
    );
  }
  return new Failure(
    "remote-not-a-tunnel",
    `\`${words}\` ${exit === undefined ? "closed its output" : ending(exit)} before it said that it is ready${printed(noise)}`,
    text,
  );
}

function withNoise(failure: HandshakeError, words: string): Failure {
  return new Failure(failure.code, `\`${words}\`: ${failure.message}${printed(failure.noise)}`, {
    expected: failure.expected ?? "",
    hint: failure.hint ?? "",
    cause: failure,
  });
}

/** e.g. `ended with status 255`. */
export function ending(exit: Exit | undefined): string {
  if (exit === undefined) return "still runs";
  return exit.signal ? `was ended by ${exit.signal}` : `ended with status ${exit.status}`;
}

function printed(noise: string): string {
  const text = noise.trim();
  return text === "" ? "" : `. It printed:\n${text}`;
}
