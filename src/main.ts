import { constants } from "node:os";
import { parseCommandLine, writerTo, type Job, type Parsed } from "./cli.ts";
import { outputTo } from "./output/output.ts";
import { Terminal } from "./output/terminal.ts";
import type { Connection } from "./request.ts";

const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
type Signal = (typeof SIGNALS)[number];

/** ms until a finished command leaves although something would keep it. */
const LEAVE_TIMEOUT = 100;

/** Told to stop by a signal. */
class Stopped extends Error {
  readonly signal: Signal;

  constructor(signal: Signal) {
    super(`stopped by ${signal}`);
    this.signal = signal;
  }
}

/**
 * The process: reads the command line, runs the command, ends with its exit status. The only place that exits.
 * The first SIGINT, SIGTERM or SIGHUP stops the command, which tidies up; the second ends the process at once.
 */
export async function main(argv: readonly string[]): Promise<boolean> {
  const parsed = await understand(argv);
  process.exitCode = "job" in parsed ? await runJob(parsed.job) : parsed.exitStatus;
  // Helpers of libraries (a keep-alive socket, a pending timer) must not keep a finished command waiting. Not at once: to leave by
  // process.exit() waits for V8's threads, and one that is still compiling may wait for this one (Node 24.21, once in 250 runs).
  if ("job" in parsed) setTimeout(leave, LEAVE_TIMEOUT).unref();
  return "job" in parsed && process.exitCode === 0;
}

async function understand(argv: readonly string[]): Promise<Parsed> {
  try {
    return await parseCommandLine(argv, process.env, { out: writerTo("stdout"), err: writerTo("stderr") });
  } catch (error) {
    return { exitStatus: await report(error, new Terminal({ quiet: false, verbose: false, progress: false })) };
  }
}

async function runJob(job: Job): Promise<number> {
  const terminal = new Terminal(job.output);
  const { connection } = job.request;
  // The side that a person started prints the outcome for both.
  const output = outputTo((event) => {
    if (event.type !== "done" || connection.kind !== "spawned") terminal.show(event);
  });
  const stop = new AbortController();
  for (const signal of SIGNALS) process.on(signal, () => onSignal(signal, stop, terminal));
  // A terminal or a far end that went away while we print to it is no reason to leave things behind.
  process.stderr.on("error", () => {});
  try {
    await job.run({ output, signal: stop.signal, env: process.env });
    terminal.close();
    return 0;
  } catch (error) {
    // A Ctrl-C reaches the whole foreground process group: when ssh dies of it first, the reason is still the Ctrl-C.
    const cause: unknown = stop.signal.aborted ? stop.signal.reason : error;
    if (cause instanceof Stopped) {
      terminal.close();
      terminal.detail(cause.message);
      return 128 + constants.signals[cause.signal];
    }
    return await report(cause, terminal, connection);
  }
}

function onSignal(signal: Signal, stop: AbortController, terminal: Terminal): void {
  if (stop.signal.aborted) return endBy(signal);
  terminal.close();
  if (process.stderr.isTTY) terminal.warn("stopping; once more to stop without tidying up");
  else terminal.detail(`stopping: ${signal}`);
  stop.abort(new Stopped(signal));
}

/** Ends the process at once. To leave by process.exit() waits for Node's threads, and one that opens a FIFO waits for ever. */
function endBy(signal: Signal): void {
  hearNoSignals();
  process.kill(process.pid, signal);
  process.exit(128 + constants.signals[signal]); // a container's first process does not die of signals
}

/** Should that wait for a thread, any signal ends it. */
function leave(): void {
  hearNoSignals();
  process.exit();
}

function hearNoSignals(): void {
  for (const signal of SIGNALS) process.removeAllListeners(signal);
}

async function report(error: unknown, terminal: Terminal, connection?: Connection): Promise<number> {
  const { RemoteFailure } = await import("./stdio-tunnel/failures.ts");
  const { wasReported } = await import("./stdio-tunnel/open.ts");
  const { asFailure } = await import("./transfer.ts");
  const failure = asFailure(error);
  // The spawner's user reads it: from the spawned side's words through the tunnel, or from its own.
  const saidThere = connection?.kind === "spawned" && (wasReported(error) || failure instanceof RemoteFailure);
  if (!saidThere) terminal.failure(failure, failure instanceof RemoteFailure ? "remote" : "here");
  if (failure.code === "internal" && error instanceof Error) terminal.detail(error.stack ?? "");
  return failure.exitStatus;
}
