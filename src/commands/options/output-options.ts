import type { OutputOptions } from "../../output/output.ts";
import type { OptionDefinition } from "./command-definition.ts";

/** The options of all commands. */
const OUTPUT_OPTIONS: readonly OptionDefinition[] = [
  { flags: "-q, --quiet", description: "print only errors, warnings and the output of the remote command" },
  { flags: "--verbose", description: "print each step and when it happens" },
  { flags: "--no-progress", description: "do not print progress" },
  {
    flags: "--json",
    description:
      "print events for programs on stdout, one JSON object per line (docs/events.md); stderr contains only errors",
  },
];

/** Returns the options of a command, followed by those of all commands. A command may describe one of these in its own words. */
export function withOutputOptions(own: readonly OptionDefinition[]): OptionDefinition[] {
  return [...own, ...OUTPUT_OPTIONS.filter(({ flags }) => !own.some((option) => option.flags === flags))];
}

/** Reads the options of all commands from those of a command line. The value of `--progress MODE`, an option of a build, is a string. */
export function readOutput({ quiet, verbose, progress, json }: Readonly<Record<string, unknown>>): OutputOptions {
  return { quiet: quiet === true, verbose: verbose === true, progress: progress !== false, json: json === true };
}
