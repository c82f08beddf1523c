import type { TransferResult } from "../output/events.ts";
import type { TransferRequest } from "../request.ts";
import type { Context } from "../transfer.ts";

/** A command of the command line, as data: cli.ts makes the parser and the help of it, scripts/cli-reference.ts the table in docs/cli.md. */
export interface CommandDefinition<Options extends object> {
  name: "push" | "pull";
  summary: string;
  description: string;
  options: readonly OptionDefinition[];
  /** Makes a job of a parsed command line. Throws a `usage` Failure for arguments that contradict each other. */
  toJob(words: Words, options: Options, env: NodeJS.ProcessEnv): TransferJob;
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

/** The words behind the options. */
export interface Words {
  /** IMAGE */
  image: string;
  /** COMMAND, word for word; empty where none was given */
  command: readonly string[];
}

/** A transfer that is yet to run. */
export interface TransferJob {
  request: TransferRequest;
  run(context: Context): Promise<TransferResult>;
}

/** Thrown for an option's text that cannot be its value. The message says what was expected, one sentence. */
export class InvalidValue extends Error {
  override readonly name = "InvalidValue";
}
