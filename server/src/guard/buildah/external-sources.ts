import { expand, ExpansionError } from "../classic/dockerfile/expand.ts";
import { quotedWords } from "../classic/dockerfile/instruction.ts";
import type { EscapeToken } from "../classic/dockerfile/logical-lines.ts";
import { Refusal } from "../refusal.ts";

/** The images and addresses outside of its context that a Dockerfile uses. */
export interface ExternalSources {
  /** Images in `FROM`, `COPY --from=` and `RUN --mount=from=` that do not name an earlier stage */
  images: string[];
  /** Addresses in `ADD` */
  addresses: string[];
}

const DIRECTIVE = /^#\s*(\w+)\s*=(.*)$/;
/** Limits of the characters of a value, of variables, and of sources, because a hostile Dockerfile must not use up memory or time. */
const MAX_VALUE = 4096;
const MAX_VALUES = 1000;
const MAX_OUTSIDE = 1000;

/** The known variables of a Dockerfile at one instruction. */
interface Scope {
  readonly values: Map<string, string>;
  readonly escape: EscapeToken;
}

/**
 * Finds the images that a Dockerfile needs, so that the guard can fetch those that the policy allows. This is a convenience, not a check: buildah has only
 * the fetched images, so a build fails if this function misses one.
 *
 * @param buildArgs the values of `ARG`s before the first `FROM`
 */
export function readExternalSources(
  dockerfile: string,
  buildArgs: Readonly<Record<string, string | null>>,
): ExternalSources {
  const images = new Set<string>();
  const addresses = new Set<string>();
  const stages = new Set<string>();
  const { instructions, escape } = instructionsOf(dockerfile);
  const scope: Scope = { values: new Map(), escape };
  let isBeforeFrom = true;
  let count = 0;
  for (const instruction of instructions) {
    const [, name = "", rest = ""] = /^(\S+)\s*(.*)$/s.exec(instruction) ?? [];
    const addImage = (text: string): void => {
      const image = expandIn(scope, text, "");
      if (image === undefined || image === "" || stages.has(image.toLowerCase()) || image.toLowerCase() === "scratch")
        return;
      if (/^\d+$/.test(image) && Number(image) < count) return;
      images.add(image);
    };
    switch (name.toUpperCase()) {
      case "FROM": {
        isBeforeFrom = false;
        const words = rest.split(/\s+/).filter((word) => !word.startsWith("--"));
        addImage(words[0] ?? "");
        if (words[1]?.toUpperCase() === "AS") stages.add((words[2] ?? "").toLowerCase());
        count++;
        break;
      }
      case "ARG":
      case "ENV":
        setValues(rest, name.toUpperCase() === "ARG" ? buildArgs : {}, scope, isBeforeFrom);
        break;
      case "COPY":
      case "ADD":
        for (const [, from = ""] of rest.matchAll(/(?:^|\s)--from=(\S+)/g)) addImage(from);
        if (name.toUpperCase() === "ADD") for (const address of addressesOf(rest, scope)) addresses.add(address);
        break;
      case "RUN":
        for (const [, options = ""] of rest.matchAll(/(?:^|\s)--mount=(\S+)/g)) {
          for (const [, from = ""] of options.matchAll(/(?:^|,)"?from=([^,"]+)/g)) addImage(from);
        }
        break;
    }
    if (images.size + addresses.size > MAX_OUTSIDE) {
      throw new Refusal("build.dockerfile", `the Dockerfile names more than ${MAX_OUTSIDE} images and addresses`, {
        statusCode: 400,
      });
    }
  }
  return { images: [...images], addresses: [...addresses] };
}

/** Returns the instructions without comments, with continued lines joined. */
function instructionsOf(dockerfile: string): { instructions: string[]; escape: EscapeToken } {
  const lines = dockerfile.replace(/^\uFEFF/, "").split(/\r?\n/);
  let escape: EscapeToken = "\\";
  for (const line of lines) {
    const [, key = "", value = ""] = DIRECTIVE.exec(line) ?? [];
    if (key === "") break;
    if (key.toLowerCase() === "escape" && value.trim() === "`") escape = "`";
  }
  const found: string[] = [];
  let current = "";
  for (const line of lines) {
    const text = line.trim();
    if (text === "" || text.startsWith("#")) continue;
    if (text.endsWith(escape)) {
      current += `${text.slice(0, -1)} `;
      continue;
    }
    found.push((current + text).trim());
    current = "";
  }
  if (current.trim() !== "") found.push(current.trim());
  return { instructions: found, escape };
}

function setValues(
  text: string,
  given: Readonly<Record<string, string | null>>,
  scope: Scope,
  usesGiven: boolean,
): void {
  const { values, escape } = scope;
  for (const word of quotedWords(text, escape)) {
    const [, name = "", written] = /^(\w+)(?:=(.*))?$/s.exec(word) ?? [];
    const argument = (usesGiven || written !== undefined) && Object.hasOwn(given, name) ? given[name] : undefined;
    if (name === "" || (argument ?? written) === undefined) continue;
    const value = argument ?? expandIn(scope, written ?? "", "");
    const isKnown = values.has(name) || values.size < MAX_VALUES;
    if (value === undefined || value.length > MAX_VALUE) values.delete(name);
    else if (isKnown) values.set(name, value);
  }
}

/**
 * Expands variables like the classic builder.
 *
 * @param unset the value of a variable that is not set. If undefined, such a variable makes the text unknown
 * @returns undefined if the text is unknown
 */
function expandIn({ values, escape }: Scope, text: string, unset: string | undefined): string | undefined {
  let added = 0;
  try {
    const expanded = expand(text, escape, (name) => {
      const value = values.get(name) ?? unset;
      if (value === undefined) throw new ExpansionError(`the value of ${name} is not known`);
      added += value.length;
      if (added > MAX_VALUE) throw new ExpansionError(`a value has more than ${MAX_VALUE} characters`);
      return value;
    });
    return expanded.length > MAX_VALUE ? undefined : expanded;
  } catch (error) {
    if (error instanceof ExpansionError) return undefined;
    throw error;
  }
}

/** Returns the words of ADD that are addresses, or that contain a variable whose value is unknown. */
function addressesOf(text: string, scope: Scope): string[] {
  const words = text.split(/[\s,[\]"]+/).filter((word) => word !== "" && !word.startsWith("--"));
  return words.slice(0, -1).flatMap((word) => {
    if (word.length > MAX_VALUE) {
      throw new Refusal("build.dockerfile", `ADD has an address of more than ${MAX_VALUE} characters`, {
        statusCode: 400,
      });
    }
    const address = expandIn(scope, word, undefined);
    if (address === undefined && word.includes("$")) return [word];
    return /:\/\/|^git@|^github\.com\//.test(address ?? word) ? [address ?? word] : [];
  });
}
