import type { ProgressMode } from "../../build-log/build-log.ts";
import type { TransferResult } from "../../output/events.ts";
import type { OutputOptions } from "../../output/output.ts";
import type { Batch, NonEmpty } from "../../request.ts";
import type { Context } from "../../transfer.ts";

/** A command of the command line, as data: cli.ts makes the parser and the help of it, scripts/cli-reference.ts the table in docs/cli.md. */
export interface CommandDefinition<Options extends object, Job extends CommandJob = CommandJob> {
  name: string;
  /** Left out of the help: another docker-over-ssh runs it. */
  isHidden?: boolean;
  /** It reads its words itself, options as well: the parser has none. */
  readsWords?: boolean;
  summary: string;
  description: string;
  arguments: readonly ArgumentDefinition[];
  options: readonly OptionDefinition[];
  /** Makes a job of a parsed command line. Throws a `usage` Failure for arguments that contradict each other. */
  toJob(words: readonly string[], options: Options, env: NodeJS.ProcessEnv): Job | Promise<Job>;
  /** The words behind the options, for `usage:`. Left out: the arguments. */
  usage?: string;
}

/** Words behind the options. */
export interface ArgumentDefinition {
  /** `<NAME>`, `[NAME]`, or `[NAME...]` for all further words, which are passed on unchanged. */
  term: string;
  description: string;
}

export interface OptionDefinition {
  flags: string;
  description: string;
  choices?: readonly string[];
  /** Turns the text behind the option into its value. Throws {@link InvalidValue}. Left out: the text is the value. */
  parse?: (text: string) => unknown;
  /** It may be given several times: its value is the list of them. */
  repeats?: boolean;
}

/** The words of a transfer. */
export interface Words {
  /** IMAGE… */
  images: NonEmpty<string>;
  /** COMMAND, word for word, or addresses of hosts; empty where none was given */
  command: readonly string[];
}

/** A command that has not run yet. */
export interface CommandJob {
  /** Left out by commands that are no transfer. */
  batch?: Batch;
  /** Its own output is on stdout: no events go there, with --json either. */
  printsOnStdout?: boolean;
  /** --progress of a command that builds */
  buildProgress?: ProgressMode;
  /** SIGHUP does not stop it: it means to read its files again. */
  handlesHangup?: boolean;
  /** What Ctrl-C on a terminal tells in place of the usual words */
  stopText?: string;
  /** What is printed, where others than the options decide that. */
  output?: OutputOptions;
  run(context: Context): Promise<unknown>;
}

export interface TransferJob extends CommandJob {
  batch: Batch;
  /** Resolves to the result of each transfer when all have succeeded. */
  run(context: Context): Promise<NonEmpty<TransferResult>>;
}

/** Thrown for an option's text that cannot be its value. The message says what was expected, one sentence. */
export class InvalidValue extends Error {
  override readonly name = "InvalidValue";
}
