import type { Policy } from "../../policy/policy.ts";
import { checkSource } from "../../policy/sources.ts";
import { dockerfileError, dockerfileRefusal } from "./dockerfile-error.ts";
import { ExpansionError } from "./expand.ts";
import { flagsOf, words, type Instruction } from "./instruction.ts";

/** The sources from which an instruction of a stage or of a trigger may copy. */
export interface FileSources {
  policy: Policy;
  /** Expands a word with the variables at this instruction; undefined in a trigger, where variables are unknown */
  expand: ((word: string) => string) | undefined;
  /** Resolves the value of --from to the number of a stage or the ID of an image. Throws a Refusal. */
  from: (name: string) => string;
}

const COPY_FLAGS = ["from", "chown", "chmod", "link", "exclude"];
const ADD_FLAGS = ["chown", "chmod", "link", "keep-git-dir", "checksum", "exclude", "unpack"];
const SCHEMES = ["http://", "https://"];
/** A word that is literal in every form of an instruction */
const PLAIN = /^[\w.,:@%+/*?=~$(){}-]+$/;
/** The beginning of a word that neither variables, nor quotes, nor escapes can change */
const LITERAL = /^[A-Za-z0-9_.,:@%+/*?=~(){}[\]-]*/;

/** Rewrites ADD or COPY, so that every engine reads the checked words. Throws a Refusal for sources that are not allowed. */
export function writeFiles(instruction: Instruction, sources: FileSources): string {
  const { name, line } = instruction;
  const flags = flagsOf(instruction, name === "ADD" ? ADD_FLAGS : COPY_FLAGS);
  const given = words(instruction);
  if (given.length < 2) {
    throw dockerfileError(
      line,
      `${name} requires at least two arguments, but only one was provided. Destination could not be determined`,
    );
  }
  const from = flags.get("from");
  if (from) {
    if (from.includes("$")) {
      throw dockerfileRefusal("dockerfile.from", line, `--from=${from}: write it without variables`);
    }
    flags.set("from", sources.from(from));
  } else {
    flags.delete("from");
  }
  const written =
    name === "ADD" ? [...given.slice(0, -1).map((word) => addSource(word, line, sources)), ...given.slice(-1)] : given;
  const options = instruction.flags.flatMap((flag) => writeFlag(flag, flags));
  return [name, ...options, writeWords(written)].join(" ");
}

/** Writes ADD or COPY like {@link writeFiles}, but with unchanged words. */
export function writeUnchanged(instruction: Instruction): string {
  return [instruction.name, ...instruction.flags, writeWords(words(instruction))].join(" ");
}

function writeFlag(flag: string, checked: ReadonlyMap<string, string>): string[] {
  const name = /^--([^=]*)/.exec(flag)?.[1] ?? "";
  if (name !== "from") return [flag];
  const value = checked.get("from");
  return value === undefined ? [] : [`--from=${value}`];
}

/** Separates words with spaces if every engine parses the result alike, and otherwise writes a JSON list. */
function writeWords(given: readonly string[]): string {
  const isPlain = given.every((word) => PLAIN.test(word) && !word.startsWith("-"));
  return isPlain ? given.join(" ") : JSON.stringify(given);
}

/**
 * Writes a source of ADD. If it is an address after expansion, the engine downloads it from the host's network, so the guard writes the expanded address that
 * it has checked. The prefix `./` makes sure that a path stays a path, whatever its variables are.
 */
function addSource(word: string, line: number, { policy, expand }: FileSources): string {
  const literal = LITERAL.exec(word)?.[0] ?? "";
  const isWhole = literal === word;
  const mayBeAddress = SCHEMES.some((scheme) => literal.startsWith(scheme) || (!isWhole && scheme.startsWith(literal)));
  if (!mayBeAddress) return word;
  let expanded = word;
  if (!isWhole) {
    if (expand === undefined) {
      if (!SCHEMES.some((scheme) => literal.startsWith(scheme))) return `./${word}`;
      throw dockerfileRefusal("dockerfile.add", line, `an address in ONBUILD ADD cannot have variables`);
    }
    try {
      expanded = expand(word);
    } catch (error) {
      if (!(error instanceof ExpansionError)) throw error;
      if (SCHEMES.some((scheme) => literal.startsWith(scheme))) throw dockerfileError(line, error.message);
    }
  }
  if (!SCHEMES.some((scheme) => expanded.startsWith(scheme))) return `./${word}`;
  // The engine would expand these once more.
  if (/[$'"\\`]/.test(expanded)) {
    throw dockerfileRefusal("dockerfile.add", line, "the address has a character that is not allowed: write it as %XX");
  }
  checkSource(expanded, policy);
  return expanded;
}
