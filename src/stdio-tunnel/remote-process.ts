import type { Readable, Writable } from "node:stream";
import type { Exit } from "../child-process/exit.ts";
import { startProgram } from "../child-process/start-program.ts";
import { shownCommand } from "../output/secrets.ts";
import { keepOutput } from "../streams/keep-output.ts";
import { onLines } from "../streams/lines.ts";
import { readAtRate, writeAtRate } from "../streams/rate.ts";
import { resolveWithin } from "../streams/resolve-within.ts";
import { LEAVE_TIMEOUT } from "./constants.ts";
import { explainFailure } from "./explain-failure.ts";
import { StdioTransport } from "./transport.ts";

/** The remote command as a child of this process. */
export interface RemoteProcess extends AsyncDisposable {
  readonly stdin: Writable;
  readonly stdout: Readable;
  /** Stdin and stdout as one stream. The caller that reads this property owns the stream. */
  readonly transport: StdioTransport;
  /** Resolves to the exit, or to undefined if the child is still running after `leaveTimeout`. */
  exit(): Promise<Exit | undefined>;
  /** Waits at most `leaveTimeout` for the child to end, and returns the failure with how it ended. Returns other errors unchanged. */
  explain(failure: unknown): Promise<unknown>;
}

export interface SpawnOptions {
  /** ms within which the child must end, first by itself, then after SIGTERM. */
  leaveTimeout?: number | undefined;
  /** Its name in messages. */
  name?: string | undefined;
  /** The limit of bytes per second to the child, and of bytes per second from the child. */
  rate?: number | undefined;
}

/**
 * Runs `command` (a program and its arguments; no shell interprets them) with pipes for stdin and stdout. `onStderr` is called with each
 * line of its stderr, also with an unfinished line, such as a prompt.
 *
 * Disposing closes its stdin, waits for it to end, then sends SIGTERM and SIGKILL (PROTOCOL.md, 6), `leaveTimeout` ms apart. A child to
 * which nothing has been sent has nothing to finish, and gets SIGTERM immediately: an ssh that is still logging in does not notice the end
 * of its stdin.
 *
 * @throws Failure if this process may open no more files
 */
export function spawnRemote(
  command: readonly string[],
  onStderr: (line: string) => void,
  { leaveTimeout = LEAVE_TIMEOUT, name = shownCommand(command), rate }: SpawnOptions = {},
): RemoteProcess {
  const [file = "", ...args] = command;
  const program = startProgram(file, args, { killTimeout: leaveTimeout });
  let isOfInterest = true;
  onLines(program.stderr, (line) => {
    if (isOfInterest) onStderr(line);
  });
  const stdin = writeAtRate(program.stdin, rate);
  const stdout = readAtRate(keepOutput(program.stdout), rate);
  stdin.on("error", () => {}); // EPIPE after the child has ended: its exit explains more
  const exit = async (): Promise<Exit | undefined> => await resolveWithin(leaveTimeout, program.exit);
  let transport: StdioTransport | undefined;
  return {
    stdin,
    stdout,
    get transport() {
      return (transport ??= new StdioTransport(stdout, stdin).on("error", () => {}));
    },
    exit,
    explain: async (failure) => await explainFailure(failure, { file, command: name, exit }),
    async [Symbol.asyncDispose]() {
      if (program.stdin.bytesWritten === 0) {
        isOfInterest = false; // it would report the signal that this process sends
        program.kill();
      }
      stdin.end();
      if ((await exit()) === undefined) program.kill();
      await program.exit;
      transport?.destroy();
      for (const stream of [stdin, stdout, program.stderr]) stream.destroy();
    },
  };
}
