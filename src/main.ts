import { constants } from "node:os";
import { parseCommandLine, writerTo, type Job, type Parsed } from "./cli.ts";
import type { BuildDisplay } from "./output/build-events.ts";
import type { TransferEvent } from "./output/events.ts";
import { JsonLines } from "./output/json-lines.ts";
import { outputTo, type OutputOptions } from "./output/output.ts";
import { Terminal } from "./output/terminal.ts";
import type { Batch } from "./request.ts";

const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
type Signal = (typeof SIGNALS)[number];

/** ms after the end of the command until the process exits, whatever keeps it alive. */
const LEAVE_TIMEOUT = 100;

/** The abort reason when a signal stops the command. */
class Stopped extends Error {
  readonly signal: Signal;

  constructor(signal: Signal) {
    super(`stopped by ${signal}`);
    this.signal = signal;
  }
}

/**
 * Runs the command line and sets the exit status of the process; no other file exits. The first SIGINT, SIGTERM or SIGHUP stops the command,
 * which removes what it has created; the second ends the process at once. Returns whether it has succeeded.
 */
export async function main(argv: readonly string[]): Promise<boolean> {
  const parsed = await parse(argv);
  process.exitCode = "job" in parsed ? await runJob(parsed.job, parsed.buildDisplay) : parsed.exitStatus;
  // A keep-alive socket or a timer of a library must not delay a finished command. Do not exit at once: process.exit() waits for V8's threads,
  // and a thread that is still compiling may wait for this one (Node 24.21, once in 250 runs).
  if ("job" in parsed) setTimeout(leave, LEAVE_TIMEOUT).unref();
  return "job" in parsed && process.exitCode === 0;
}

async function parse(argv: readonly string[]): Promise<Parsed & { buildDisplay?: BuildDisplay | undefined }> {
  try {
    const parsed = await parseCommandLine(argv, process.env, { out: writerTo("stdout"), err: writerTo("stderr") });
    return "job" in parsed ? { ...parsed, buildDisplay: await buildDisplayOf(parsed.job) } : parsed;
  } catch (error) {
    const terminal = new Terminal({ quiet: false, verbose: false, progress: false });
    return { exitStatus: await report(error, terminal, (event) => terminal.show(event)) };
  }
}

async function runJob(job: Job, buildDisplay: BuildDisplay | undefined): Promise<number> {
  const { remotes = [] } = job.batch ?? {};
  const [isEndless = false] = remotes.map(({ watch }) => watch);
  const terminal = new Terminal({ ...job.output, namesHosts: remotes.length > 1, isEndless, buildDisplay });
  const print = printer(job.output, terminal);
  const connection = job.batch?.remotes[0].connection; // a spawned side has no other
  // The side that a person started prints the outcome for both.
  const output = outputTo((event) => {
    if (event.type !== "result" || connection?.kind !== "spawned") print(event);
  });
  const stop = new AbortController();
  const signals = SIGNALS.filter((signal) => signal !== "SIGHUP" || job.handlesHangup !== true);
  for (const signal of signals) process.on(signal, () => onSignal(signal, stop, terminal, job.stopText));
  // A closed stderr must not stop the command without cleanup.
  process.stderr.on("error", () => {});
  try {
    await job.run({ output, signal: stop.signal, env: process.env });
    closeTerminal(job.output, terminal, "built");
    return 0;
  } catch (error) {
    // Ctrl-C reaches the whole foreground process group. Even if ssh dies of it first, the reason is Ctrl-C.
    const cause: unknown = stop.signal.aborted ? stop.signal.reason : error;
    if (cause instanceof Stopped) {
      terminal.close();
      terminal.detail(cause.message);
      return 128 + constants.signals[cause.signal];
    }
    closeTerminal(job.output, terminal, "failed");
    return await report(cause, terminal, print, job.batch);
  }
}

/** Returns the display for a command that builds. */
async function buildDisplayOf({ buildProgress, output }: Job): Promise<BuildDisplay | undefined> {
  if (buildProgress === undefined) return undefined;
  const { buildLog } = await import("./build-log/build-log.ts");
  const progress = output.json || output.quiet ? "quiet" : buildProgress;
  return buildLog({ progress, screen: process.stderr, env: process.env });
}

/** Closes the terminal, and prints the table of outcomes for people. A program gets the outcomes from the events. */
function closeTerminal({ json }: OutputOptions, terminal: Terminal, outcome: "built" | "failed"): void {
  terminal.close(outcome);
  if (!json) terminal.outcomes();
}

/** Returns the function that prints events: on the terminal; or as lines for programs, and only errors on the terminal. */
function printer(options: OutputOptions, terminal: Terminal): (event: TransferEvent) => void {
  if (!options.json) return (event) => terminal.show(event);
  const lines = new JsonLines(options, writerTo("stdout"));
  return (event) => {
    lines.show(event);
    // The build display prints only why a build has failed.
    if (event.type === "error" || event.type.startsWith("build-")) terminal.show(event);
  };
}

const STOP_TEXT = "stopping; press Ctrl-C again to stop without cleaning up";

function onSignal(signal: Signal, stop: AbortController, terminal: Terminal, text = STOP_TEXT): void {
  if (stop.signal.aborted) return endBy(signal);
  terminal.close();
  if (process.stderr.isTTY) terminal.warn(text);
  else terminal.detail(`stopping: ${signal}`);
  stop.abort(new Stopped(signal));
}

/** Ends the process at once, by the signal: process.exit() waits for Node's threads, and a thread that opens a FIFO waits forever. */
function endBy(signal: Signal): void {
  restoreSignals();
  process.kill(process.pid, signal);
  process.exit(128 + constants.signals[signal]); // the first process of a container ignores the signal
}

/** Exits. If the exit waits for a thread, any signal still ends the process. */
function leave(): void {
  restoreSignals();
  process.exit();
}

/** Restores what signals do by default: end the process. */
function restoreSignals(): void {
  for (const signal of SIGNALS) process.removeAllListeners(signal);
}

async function report(
  error: unknown,
  terminal: Terminal,
  print: (event: TransferEvent) => void,
  batch?: Batch,
): Promise<number> {
  const { RemoteFailure } = await import("./stdio-tunnel/failures.ts");
  const { wasReported } = await import("./stdio-tunnel/open.ts");
  const { asFailure, reportOf } = await import("./explain-error.ts");
  const { transferName } = await import("./transfer.ts");
  const failure = asFailure(error);
  const requests = batch?.remotes.flatMap(({ transfers }) => transfers) ?? [];
  const [only] = requests.length === 1 ? requests : [];
  // The initiator prints the failure: the one that it received through the tunnel, or its own.
  const isPrintedThere =
    requests[0]?.connection.kind === "spawned" && (wasReported(error) || failure instanceof RemoteFailure);
  if (!isPrintedThere) print({ type: "error", ...reportOf(error), ...(only && { transfer: transferName(only) }) });
  terminal.close();
  if (failure.code === "internal" && error instanceof Error) terminal.detail(error.stack ?? "");
  return failure.exitStatus;
}
