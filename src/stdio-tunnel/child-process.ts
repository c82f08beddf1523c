import { execa } from "execa";
import { Failure, messageOf } from "../output/errors.ts";
import { LEAVE_TIMEOUT } from "./constants.ts";
import { FarFailure } from "./session.ts";
import { HandshakeError } from "./handshake.ts";
import { onLines } from "../streams/lines.ts";
import { StdioTransport } from "./transport.ts";

/** How a child ended, as far as it has. */
interface Exit {
  status?: number | undefined;
  signal?: string | undefined;
  /** It could not be started at all. */
  error?: Error | undefined;
}

/** The far command as a child of this process. */
export interface FarProcess extends AsyncDisposable {
  /** Its stdin and stdout; owned by whoever opens a tunnel over it. */
  readonly transport: StdioTransport;
  /** The failure in the light of how the child ended, which this waits for, briefly. */
  explain(failure: unknown): Promise<unknown>;
}

/**
 * Runs `command` (a program and its arguments, passed on as they are; no shell) with pipes for stdin and stdout.
 * Lines of its stderr go to `onStderr` as they come, also an unfinished one that a prompt leaves.
 *
 * Disposing closes its stdin, waits for it to leave, then sends SIGTERM and SIGKILL (PROTOCOL.md, 5).
 */
export function spawnFar(command: readonly string[], onStderr: (line: string) => void): FarProcess {
  const [file = "", ...args] = command;
  const words = command.join(" ");
  const child = execa(file, args, {
    stdin: "pipe",
    stdout: "pipe",
    stderr: "pipe",
    buffer: false,
    reject: false,
    forceKillAfterDelay: LEAVE_TIMEOUT,
  });
  onLines(child.stderr, onStderr);
  const transport = new StdioTransport(child.stdout, child.stdin);
  transport.on("error", () => {}); // EPIPE after the child has left: its exit says more
  const exit: Promise<Exit> = child.then(
    ({ exitCode, signal, failed, cause }) =>
      exitCode === undefined && signal === undefined && failed
        ? { error: cause as Error }
        : { status: exitCode, signal },
    (error: unknown) => ({ error: error as Error }),
  );
  return {
    transport,
    async explain(failure) {
      if (!(failure instanceof Failure) || failure instanceof FarFailure) return failure;
      const early = failure instanceof HandshakeError;
      if (early ? !failure.ended : failure.code !== "link-lost") return early ? withNoise(failure, words) : failure;
      return explainExit(failure, words, await soon(exit));
    },
    async [Symbol.asyncDispose]() {
      child.stdin.end();
      if ((await soon(exit)) === undefined) child.kill("SIGTERM");
      await exit;
      transport.destroy();
    },
  };
}

async function soon(exit: Promise<Exit>): Promise<Exit | undefined> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<undefined>((resolve) => (timer = setTimeout(resolve, LEAVE_TIMEOUT, undefined)));
  return await Promise.race([exit, late]).finally(() => clearTimeout(timer));
}

function explainExit(failure: Failure, words: string, exit: Exit | undefined): Failure {
  const text = { expected: failure.expected ?? "", hint: failure.hint ?? "", cause: failure };
  if (exit?.error !== undefined) {
    const missing = (exit.error as NodeJS.ErrnoException).code === "ENOENT";
    const program = words.split(" ", 1)[0];
    return new Failure(
      "far-command-not-found",
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
  if (failure.code === "link-lost") {
    return new Failure("link-lost", `${failure.message}: \`${words}\` ${ending(exit)}`, text);
  }
  const noise = failure instanceof HandshakeError ? failure.noise : "";
  if (exit?.status === 127 || exit?.status === 126) {
    return new Failure(
      "far-command-not-found",
      `\`${words}\` ${ending(exit)}: the far shell found no such command${printed(noise)}`,
      {
        expected:
          "docker-over-ssh to be installed on the other side, and in the PATH of a shell that is not a login shell",
        hint: "Install it there (npm install --global docker-over-ssh), or name its full path in the command.",
        cause: failure,
      },
    );
  }
  return new Failure(
    "far-not-a-tunnel",
    `\`${words}\` ${ending(exit)} before it said that it is ready${printed(noise)}`,
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

function ending(exit: Exit | undefined): string {
  if (exit === undefined) return "closed its output and still runs";
  return exit.signal === undefined ? `ended with status ${exit.status}` : `was ended by ${exit.signal}`;
}

function printed(noise: string): string {
  const text = noise.trim();
  return text === "" ? "" : `. It printed:\n${text}`;
}
