import { describeExit, type Exit } from "../../child-process/exit.ts";
import { startProgram } from "../../child-process/start-program.ts";
import { messageOf } from "../../output/errors.ts";
import { DialError } from "./dial-error.ts";
import { ProgramConnection, type ProgramOutput } from "./program-connection.ts";

/** Bytes of the program's stderr to store. Its end contains the reason of a failure. */
const STDERR_BYTES = 4096;

/** ms between SIGTERM and SIGKILL, as in docker/cli. */
const KILL_TIMEOUT = 3_000;

/** ms for the program to end after it has closed its stdout, as in docker/cli. */
const LEAVE_TIMEOUT = 10_000;

/** A connection over a program that was started for it. */
export interface StdioConnection extends ProgramConnection {
  /** Resolves when the program has ended; never rejects. */
  readonly ended: Promise<Exit>;
  /** Kills the program at once. Called when this process exits. */
  killNow(): void;
}

/**
 * Starts a program and connects to the engine behind its stdin and stdout. Destroying the connection ends the program: SIGTERM, then
 * SIGKILL. If the program fails, the connection is destroyed with a `DialError` that contains the end of its stderr.
 */
export function dialStdio(file: string, argv: readonly string[]): StdioConnection {
  const program = startProgram(file, argv, { killTimeout: KILL_TIMEOUT, ownSession: true });
  const { stdin, stdout } = program;
  let stderr = Buffer.alloc(0);
  program.stderr.on("data", (chunk: Buffer) => (stderr = Buffer.concat([stderr, chunk]).subarray(-STDERR_BYTES)));
  const connection = new ProgramConnection({
    stdin,
    stdout,
    async exit() {
      const late = setTimeout(() => program.kill(), LEAVE_TIMEOUT).unref();
      const exit = await program.exit;
      clearTimeout(late);
      return exit;
    },
    onStdinClosed: () => program.kill(),
    failureOf: (exit, output) => dialError(exit ?? {}, output, stderr.toString("utf8")),
    close() {
      program.stderr.destroy(); // another process may hold it open
      program.kill();
    },
    ref: () => program.ref(),
    unref: () => program.unref(),
  });
  return Object.assign(connection, { ended: program.exit, killNow: () => program.kill("SIGKILL") });
}

function dialError(exit: Exit, { answered, noise }: ProgramOutput, stderr: string): DialError | undefined {
  if (exit.status === 0) return undefined;
  const how = exit.error === undefined ? `it ${describeExit(exit)}` : messageOf(exit.error);
  const words = `${answered ? "" : noise}${stderr}`.trim();
  return new DialError(words === "" ? how : `${how} and printed: ${words}`, exit);
}
