import type { ProgressMode } from "../../build-log/build-log.ts";
import type { NonEmpty } from "../../non-empty.ts";
import type { TransferResult } from "../../output/events.ts";
import type { OutputOptions } from "../../output/output.ts";
import type { Batch } from "../../request.ts";
import type { Context } from "../../transfer.ts";

/** A command of the command line, as data. cli.ts creates the parser and the help from it, scripts/cli-reference.ts the table in docs/cli.md. */
export interface CommandDefinition<Options extends object, Job extends CommandJob = CommandJob> {
  name: string;
  /** Omitted from the help, because another docker-over-ssh runs it. */
  isHidden?: boolean;
  /** The command parses its words and options itself. */
  readsWords?: boolean;
  summary: string;
  description: string;
  arguments: readonly ArgumentDefinition[];
  options: readonly OptionDefinition[];
  /** Creates a job from a parsed command line. Throws a `usage` Failure for arguments that contradict each other. */
  toJob(words: readonly string[], options: Options, env: NodeJS.ProcessEnv): Job | Promise<Job>;
  /** The words after the options, for `usage:`. Default: the arguments. */
  usage?: string;
}

/** Words after the options. */
export interface ArgumentDefinition {
  /** `<NAME>`, `[NAME]`, or `[NAME...]` for all further words, which are passed on unchanged. */
  term: string;
  description: string;
}

export interface OptionDefinition {
  flags: string;
  description: string;
  choices?: readonly string[];
  /** The value of an option without text. Default: true, or false for `--no-…` */
  preset?: string;
  /** Converts the text after the option to its value. Throws {@link InvalidValue}. If undefined, the text is the value. */
  parse?: (text: string) => unknown;
  /** It may be given several times; its value is the list of all values. */
  repeats?: boolean;
}

/** The words of a transfer. */
export interface Words {
  /** IMAGE… */
  images: NonEmpty<string>;
  /** COMMAND, word for word, or addresses of hosts; empty if none is given */
  command: readonly string[];
}

/** A parsed command, not yet run. */
export interface CommandJob {
  /** Undefined for commands without a transfer. */
  batch?: Batch;
  /** It prints its own output on stdout, so no events are printed there, not even with --json. */
  printsOnStdout?: boolean;
  /** --progress of a command that builds */
  buildProgress?: ProgressMode;
  /** SIGHUP does not stop it, but makes it read its files again. */
  handlesHangup?: boolean;
  /** The message of Ctrl-C on a terminal. Default: the usual message */
  stopText?: string;
  /** Options of the output, if the command overrides those of the command line. */
  output?: OutputOptions;
  run(context: Context): Promise<unknown>;
}

export interface TransferJob extends CommandJob {
  batch: Batch;
  /** Resolves to the result of each transfer when all have succeeded. */
  run(context: Context): Promise<NonEmpty<TransferResult>>;
}

/** Thrown for an invalid value of an option. The message is one sentence, `Expected ….` */
export class InvalidValue extends Error {
  override readonly name = "InvalidValue";

  /** Returns the expected value, for the part `expected` of a Failure. */
  get expected(): string {
    return this.message.replace(/^Expected /, "").replace(/\.$/, "");
  }
}
