import { Failure } from "../../output/errors.ts";
import { shownCommand } from "../../output/secrets.ts";
import type { SharedRequest } from "../../request.ts";
import { spawnRemote, type RemoteProcess } from "../../stdio-tunnel/remote-process.ts";
import type { Context } from "../../transfer.ts";
import { StderrLines } from "./stderr-lines.ts";
import { SudoQuestion } from "./sudo-question.ts";

/** A running remote command. */
export interface RemoteCommand extends AsyncDisposable {
  readonly child: RemoteProcess;
  /** The command without its passwords, for messages. */
  readonly words: string;
  /** A command that a person can try if this command fails. */
  readonly byHand: string;
  /** Returns the last lines of its stderr. The user has seen them, or sees them when the command ends. */
  lastLines(): string;
  /** Called when something has answered: the login is over and asks no more questions. */
  answered(): void;
  /** Holds back the next lines of its stderr, which matter only if the program that is tried next is used. */
  holdLines(): void;
  /** Releases the held lines: as lines for the user, or as those of a program that was skipped. */
  releaseLines(as: "remote" | "skipped"): void;
  /** Calls `watcher` at once, and at each change, with whether a person is being asked for a password. */
  watchQuestions(watcher: (isOpen: boolean) => void): Disposable;
  /** Aborted, with a Failure, when a question of the remote side cannot be answered. */
  readonly signal: AbortSignal;
}

/** How a remote command is named in messages, and what it may ask. */
export interface RemoteCommandOptions extends Pick<RemoteCommand, "words" | "byHand"> {
  /** The command for --verbose. */
  shown?: string;
  /**
   * The command may ask for sudo's password, which is typed once for all commands with this object. If undefined, the question is an ordinary line,
   * because a hostile command could use it to get a password.
   */
  sudo?: { password?: string } | undefined;
}

/**
 * Runs the words after it, and ignores the signals of the terminal. It reports a missing program itself, because a shell's message depends on the
 * locale, which must stay unchanged for the program.
 */
const IGNORING_SIGNALS = `trap "" INT QUIT HUP
command -v "$1" >/dev/null || { echo "exec: $1: not found" >&2; exit 127; }
exec "$@"`;

/**
 * Runs a remote command that may lead to an engine. Ctrl-C in a terminal reaches every foreground program. The command ignores it, because
 * the transfer still needs it to end requests and remove leftovers. The command keeps the terminal, on which ssh may ask for a password.
 */
export function runRemoteCommand(
  command: readonly string[],
  { words, byHand, shown = shownCommand(command), sudo }: RemoteCommandOptions,
  { bwlimit }: Pick<SharedRequest, "bwlimit">,
  { output, signal }: Context,
): RemoteCommand {
  output.detail({ code: "command-started", command: shown });
  const unanswered = new AbortController();
  const lines = new StderrLines(output);
  const ended = new AbortController();
  const question = new SudoQuestion(words, sudo, AbortSignal.any([signal, ended.signal]));
  let hasAnswered = false;
  const onLine = (line: string): void => {
    if (hasAnswered || !question.isIn(line)) return lines.add(line);
    lines.remember(line);
    question
      .answer((password) => child.stdin.write(`${password}\n`))
      .catch((error: unknown) => unanswered.abort(error));
  };
  const ignoringSignals = process.platform === "win32" ? [] : ["sh", "-c", IGNORING_SIGNALS, "sh"];
  const child = spawnRemote([...ignoringSignals, ...command], onLine, { name: words, rate: bwlimit });
  return {
    child,
    words,
    byHand,
    lastLines: () => lines.last(),
    answered: () => {
      if (!hasAnswered) output.detail({ code: "command-answered" });
      hasAnswered = true;
    },
    holdLines: () => lines.hold(),
    releaseLines: (as) => lines.release(as),
    watchQuestions: (watcher) => question.watch(watcher),
    signal: unanswered.signal,
    [Symbol.asyncDispose]: async () => {
      ended.abort();
      await child[Symbol.asyncDispose]();
      lines.release("remote");
    },
  };
}

/** ms for the remote side to answer. A person may have to type a password or a second factor into ssh first. */
const ANSWER_TIMEOUT = 60_000;

/** The time limit, and texts of its Failure that replace those for a transfer. */
interface AnswerOptions extends Pick<SharedRequest, "timeout"> {
  expected?: string;
  hint?: string;
}

/**
 * Runs `listen`. Its signal is aborted when the transfer is stopped, or when the remote side does not answer in time. The timer is paused
 * while a person is asked for a password, and starts again after the answer.
 */
export async function withinAnswerTimeout<T>(
  link: Pick<RemoteCommand, "words" | "watchQuestions">,
  { timeout = ANSWER_TIMEOUT, expected, hint }: AnswerOptions,
  stop: AbortSignal,
  listen: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const late = new AbortController();
  const failure = (): Failure =>
    new Failure("remote-no-answer", `\`${link.words}\` has not answered for ${timeout / 1000} s`, {
      expected: expected ?? "a login, followed by a Docker engine or docker-over-ssh",
      hint:
        hint ??
        "Run the command by itself to see what it waits for. push, pull and build wait longer with --timeout SECONDS.",
    });
  let timer: NodeJS.Timeout | undefined;
  using _watch = link.watchQuestions((isOpen) => {
    clearTimeout(timer);
    timer = isOpen ? undefined : setTimeout(() => late.abort(failure()), timeout);
  });
  try {
    return await listen(AbortSignal.any([stop, late.signal]));
  } finally {
    clearTimeout(timer);
  }
}
