import { SHELLS } from "../completion/scripts.ts";
import { Failure } from "../output/errors.ts";
import type { CommandDefinition } from "./options/command-definition.ts";
import { withOutputOptions } from "./options/output-options.ts";

/**
 * Creates the command.
 *
 * @param others the other commands that people type
 */
export function completionCommand(others: readonly CommandDefinition<object>[]): CommandDefinition<object> {
  const command: CommandDefinition<object> = {
    name: "completion",
    summary: "print a script that completes commands, options, images and hosts in a shell",
    description:
      'Prints a script for bash, zsh or fish. In ~/.bashrc: eval "$(docker-over-ssh completion bash)"; in ~/.zshrc, after compinit: source <(docker-over-ssh completion zsh); in fish: docker-over-ssh completion fish | source.',
    arguments: [
      { term: "<SHELL>", description: "bash, zsh or fish; or words, which the scripts use" },
      { term: "[WORD...]", description: "with words: the typed words; prints the possible next words" },
    ],
    options: [],
    usage: "[options] SHELL",
    toJob([given = "", ...typed]) {
      const shell = SHELLS.find((name) => name === given);
      if (shell === undefined && given !== "words") {
        throw new Failure("usage", `there is no script for ${given}`, { expected: "bash, zsh or fish" });
      }
      return {
        run: async (context) => {
          if (shell !== undefined) {
            process.stdout.write((await import("../completion/scripts.ts")).SCRIPTS[shell]);
            return;
          }
          const commands = [...others, command].map(({ name, arguments: terms, options }) => ({
            name,
            arguments: terms,
            options: withOutputOptions(options),
          }));
          await (await import("../completion/print-words.ts")).printWords(typed, commands, context);
        },
      };
    },
  };
  return command;
}
