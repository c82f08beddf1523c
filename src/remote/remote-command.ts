import { Failure } from "../output/errors.ts";
import { shownCommand } from "../output/secrets.ts";
import type { TransferOptions } from "../request.ts";
import { spawnRemote, type RemoteProcess } from "../stdio-tunnel/remote-process.ts";
import type { Context } from "../transfer.ts";

/** Lines that the far command wrote to its stderr which are kept, for their meaning. */
const KEPT_LINES = 5;

/** A far command that runs, and what it has said. */
export interface RemoteCommand extends AsyncDisposable {
  readonly far: RemoteProcess;
  /** As it was typed, without its passwords. */
  readonly words: string;
  /** What a person can try, when it fails. */
  readonly byHand: string;
  /** The end of what it wrote to its stderr; the user has seen it. */
  lastWords(): string;
}

/**
 * Runs a far command that may turn out to be an engine. Ctrl-C in a terminal goes to every program of the foreground: one that
 * speaks to an engine must not hear it, for what we have begun over there has still to be ended. It keeps the terminal,
 * because ssh may have to ask there for a password.
 */
export function runRemoteCommand(
  command: readonly string[],
  { words, byHand }: Pick<RemoteCommand, "words" | "byHand">,
  { bwlimit }: Pick<TransferOptions, "bwlimit">,
  { output }: Context,
): RemoteCommand {
  const lines: string[] = [];
  output.detail(`running ${shownCommand(command)}`);
  const deaf = process.platform === "win32" ? [] : ["sh", "-c", 'trap "" INT QUIT HUP; exec "$@"', "sh"];
  const onLine = (line: string): void => {
    lines.push(line);
    if (lines.length > KEPT_LINES) lines.shift();
    output.event({ type: "remote", line });
  };
  const far = spawnRemote([...deaf, ...command], onLine, { words, rate: bwlimit });
  return {
    far,
    words,
    byHand,
    lastWords: () => lines.join("\n"),
    [Symbol.asyncDispose]: async () => await far[Symbol.asyncDispose](),
  };
}

/** ms for a far end to say its first word. A person may have to type a password or a second factor into ssh first. */
const FIRST_WORD_TIMEOUT = 60_000;

/** Runs `listen`, whose signal is aborted when the process is told to stop, or when the far end has not answered in time. */
export async function firstWord<T>(
  { words }: RemoteCommand,
  { timeout = FIRST_WORD_TIMEOUT }: Pick<TransferOptions, "timeout">,
  stop: AbortSignal,
  listen: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const late = new AbortController();
  const failure = (): Failure =>
    new Failure("remote-no-answer", `\`${words}\` has not answered for ${timeout / 1000} s`, {
      expected: "a login, and a Docker engine or docker-over-ssh behind it",
      hint: "Run the command by itself to see what it waits for; a slow one can be given more time with --timeout SECONDS.",
    });
  const timer = setTimeout(() => late.abort(failure()), timeout);
  try {
    return await listen(AbortSignal.any([stop, late.signal]));
  } finally {
    clearTimeout(timer);
  }
}
