import { Failure } from "../output/errors.ts";
import { shownCommand } from "../output/secrets.ts";
import type { TransferOptions } from "../request.ts";
import { spawnRemote, type RemoteProcess } from "../stdio-tunnel/remote-process.ts";
import type { Context } from "../transfer.ts";

/** Lines of a remote command's stderr that are kept: they may say why it failed. */
const KEPT_LINES = 5;

/** A remote command that runs. */
export interface RemoteCommand extends AsyncDisposable {
  readonly child: RemoteProcess;
  /** As it was typed, without its passwords, for messages. */
  readonly words: string;
  /** A command that a person can try when this one fails. */
  readonly byHand: string;
  /** Returns the last lines of its stderr. The user has seen them. */
  lastLines(): string;
}

/**
 * Runs a remote command that may lead to an engine. Ctrl-C in a terminal reaches every program of the foreground: this one ignores it,
 * because the transfer still has to end requests and remove leftovers through it. It keeps the terminal, where ssh may ask for a password.
 */
export function runRemoteCommand(
  command: readonly string[],
  { words, byHand }: Pick<RemoteCommand, "words" | "byHand">,
  { bwlimit }: Pick<TransferOptions, "bwlimit">,
  { output }: Context,
): RemoteCommand {
  const lines: string[] = [];
  output.detail({ code: "command-started", command: shownCommand(command) });
  const ignoringSignals = process.platform === "win32" ? [] : ["sh", "-c", 'trap "" INT QUIT HUP; exec "$@"', "sh"];
  const onLine = (line: string): void => {
    lines.push(line);
    if (lines.length > KEPT_LINES) lines.shift();
    output.event({ type: "remote", line });
  };
  const child = spawnRemote([...ignoringSignals, ...command], onLine, { name: words, rate: bwlimit });
  return {
    child,
    words,
    byHand,
    lastLines: () => lines.join("\n"),
    [Symbol.asyncDispose]: async () => await child[Symbol.asyncDispose](),
  };
}

/** ms for the remote side to answer. A person may have to type a password or a second factor into ssh first. */
const ANSWER_TIMEOUT = 60_000;

/** Runs `listen`. Its signal is aborted when the transfer is stopped, or when the remote side has not answered in time. */
export async function withinAnswerTimeout<T>(
  { words }: RemoteCommand,
  { timeout = ANSWER_TIMEOUT }: Pick<TransferOptions, "timeout">,
  stop: AbortSignal,
  listen: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const late = new AbortController();
  const failure = (): Failure =>
    new Failure("remote-no-answer", `\`${words}\` has not answered for ${timeout / 1000} s`, {
      expected: "a login, and a Docker engine or docker-over-ssh behind it",
      hint: "Run the command by itself to see what it waits for, or give it more time with --timeout SECONDS.",
    });
  const timer = setTimeout(() => late.abort(failure()), timeout);
  try {
    return await listen(AbortSignal.any([stop, late.signal]));
  } finally {
    clearTimeout(timer);
  }
}
