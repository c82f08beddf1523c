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
