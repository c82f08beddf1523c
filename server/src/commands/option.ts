import { Command, CommanderError, InvalidArgumentError, Option } from "commander";
import { Failure, InvalidValue, type OptionDefinition } from "docker-over-ssh/builds";

export type { OptionDefinition };

export interface CommandText {
  /** With the preceding words, e.g. `docker-over-ssh serve` */
  name: string;
  description: string;
  /** e.g. `<NAME>` */
  arguments?: readonly { term: string; description: string }[];
  options: readonly OptionDefinition[];
  /** Printed after the options */
  more?: string;
}

/** A parsed command line. Undefined if it requested help, which is printed. */
export interface ParsedWords<Options> {
  words: readonly string[];
  options: Options;
}

/** Parses words. Prints help with `print`. Throws a Failure `usage` for an invalid command line. */
export function parseWords<Options extends object>(
  text: CommandText,
  words: readonly string[],
  print: (text: string) => void,
): ParsedWords<Options> | undefined {
  const command = new Command(text.name)
    .description(text.description)
    .usage(["[options]", ...(text.arguments ?? []).map(({ term }) => term.replace(/^<(.*)>$/, "$1"))].join(" "))
    .exitOverride()
    .configureOutput({ writeOut: print, writeErr: () => {} });
  for (const { term, description } of text.arguments ?? []) command.argument(term, description);
  for (const option of text.options) command.addOption(optionOf(option));
  if (text.more !== undefined) command.addHelpText("after", `\n${text.more}`);
  try {
    command.parse(words, { from: "user" });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode === 0) return undefined;
    throw new Failure("usage", error.message.replace(/^error: /, ""), {
      expected: `the options that \`${text.name} --help\` lists`,
    });
  }
  return { words: command.args, options: command.opts<Options>() };
}

function optionOf({ flags, description, choices, parse, repeats }: OptionDefinition): Option {
  const option = new Option(flags, description);
  if (choices !== undefined) option.choices(choices);
  if (parse === undefined && !repeats) return option;
  return option.argParser<unknown>((given, before) => {
    try {
      const value = parse === undefined ? given : parse(given);
      return repeats ? [...((before as unknown[] | undefined) ?? []), value] : value;
    } catch (error) {
      throw error instanceof InvalidValue ? new InvalidArgumentError(error.message) : error;
    }
  });
}
