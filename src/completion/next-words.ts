import type { CompletedCommand, CompletedOption } from "./completed-command.ts";

/** Sources of words that are not in the command definitions. */
export interface WordSources {
  images: () => Promise<string[]>;
  hosts: () => string[];
}

/** The values of ACTION and SHELL. */
const FIXED: Record<string, readonly string[]> = { ACTION: ["install", "uninstall"], SHELL: ["bash", "zsh", "fish"] };

/** Returns the possible completions of the last word in `typed`. */
export async function nextWords(
  typed: readonly string[],
  commands: readonly CompletedCommand[],
  sources: WordSources,
): Promise<string[]> {
  const current = typed.at(-1) ?? "";
  const [name, ...before] = typed.slice(0, -1);
  const all = async (): Promise<readonly string[]> => {
    if (name === undefined) return [...commands.map((command) => command.name), "--help", "--version"];
    const command = commands.find((candidate) => candidate.name === name);
    return command === undefined ? [] : await wordsOf(command, before, current, sources);
  };
  return [...new Set(await all())].filter((word) => word.startsWith(current));
}

async function wordsOf(
  { arguments: terms, options }: CompletedCommand,
  before: readonly string[],
  current: string,
  sources: WordSources,
): Promise<readonly string[]> {
  const last = optionOf(options, before.at(-1) ?? "");
  if (last !== undefined && takesValue(last)) return last.choices ?? [];
  if (current.startsWith("-")) return [...options.flatMap(({ flags }) => flags.match(/--[\w-]+/g) ?? []), "--help"];
  const position = before.filter(
    (word, index) => !word.startsWith("-") && !takesValue(optionOf(options, before[index - 1] ?? "")),
  ).length;
  const term = (terms[Math.min(position, terms.length - 1)]?.term ?? "").replaceAll(/[^A-Z]/g, "");
  if (FIXED[term] !== undefined) return FIXED[term];
  if (term === "IMAGE") return await sources.images();
  if (term !== "HOST" && term !== "COMMAND") return [];
  const hosts = sources.hosts();
  return current.startsWith("s") ? [...hosts, ...hosts.map((host) => `ssh://${host}`)] : hosts;
}

function optionOf(options: readonly CompletedOption[], word: string): CompletedOption | undefined {
  return options.find(({ flags }) => flags.split(/[ ,]+/).includes(word));
}

function takesValue(option: CompletedOption | undefined): boolean {
  return option?.flags.includes("<") === true;
}
