import type { Readable, Writable } from "node:stream";
import type { Exit } from "../child-process/exit.ts";
import { startProgram } from "../child-process/start-program.ts";
import { shownCommand } from "../output/secrets.ts";
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
  /** Both as one stream. The caller that reads this property owns the stream. */
  readonly transport: StdioTransport;
  /** Resolves to the exit, or to undefined when the child still runs after `leaveTimeout`. */
  exit(): Promise<Exit | undefined>;
  /** Returns the failure with how the child ended, which it awaits for at most `leaveTimeout`. Other errors are returned as they are. */
  explain(failure: unknown): Promise<unknown>;
}

export interface SpawnOptions {
  /** ms for the child to end, first by itself, then after SIGTERM. */
  leaveTimeout?: number | undefined;
  /** Its name in messages. */
  name?: string | undefined;
  /** Limit of bytes per second to the child, and of bytes per second from it. */
  rate?: number | undefined;
}

/**
 * Runs `command` (a program and its arguments; no shell interprets them) with pipes for stdin and stdout. `onStderr` gets each line of
 * its stderr, also an unfinished one that a prompt leaves.
 *
 * Disposing closes its stdin, waits for it to end, then sends SIGTERM and SIGKILL (PROTOCOL.md, 6), `leaveTimeout` ms apart. A child
 * that has not been sent anything has nothing to finish and gets SIGTERM at once: an ssh that is still logging in does not see the end
 * of its stdin.
 *
 * @throws Failure where this process may open no more files
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
  const stdout = readAtRate(program.stdout, rate);
  stdin.on("error", () => {}); // EPIPE after the child has ended: its exit says more
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
        isOfInterest = false; // its report of the signal that this process sends
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
