import { Refusal } from "../refusal.ts";

/** What a Dockerfile takes from outside of its context. */
export interface OutsideOfContext {
  /** Images of `FROM`, `COPY --from=` and `RUN --mount=from=` that are no stage before it */
  images: string[];
  /** Addresses of `ADD` */
  addresses: string[];
}

const HEAD = /^#\s*(\w+)\s*=(.*)$/;
const VARIABLE = /\$(?:(\w+)|\{(\w+)(?::([-+])([^}$]*))?\})/g;
/** Characters of a value, variables, and what is taken from outside: a hostile Dockerfile costs neither memory nor time without end. */
const MAX_VALUE = 4096;
const MAX_VALUES = 1000;
const MAX_OUTSIDE = 1000;

/**
 * Reads which images a Dockerfile needs, to fetch those that the policy allows. It is a help and no guard: buildah finds nothing but what was fetched, so
 * an image that is not found here is refused there.
 *
 * @param buildArgs set `ARG`s before the first `FROM`
 */
export function readOutside(dockerfile: string, buildArgs: Readonly<Record<string, string | null>>): OutsideOfContext {
  const images = new Set<string>();
  const addresses = new Set<string>();
  const stages = new Set<string>();
  const values = new Map<string, string>();
  let isBeforeFrom = true;
  let count = 0;
  for (const instruction of instructionsOf(dockerfile)) {
    const [, name = "", rest = ""] = /^(\S+)\s*(.*)$/s.exec(instruction) ?? [];
    const addImage = (text: string): void => {
      const image = expand(text, values);
      if (image === "" || stages.has(image.toLowerCase()) || image.toLowerCase() === "scratch") return;
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
        setValues(rest, name.toUpperCase() === "ARG" ? buildArgs : {}, values, isBeforeFrom);
        break;
      case "COPY":
      case "ADD":
        for (const [, from = ""] of rest.matchAll(/(?:^|\s)--from=(\S+)/g)) addImage(from);
        if (name.toUpperCase() === "ADD") for (const address of addressesOf(rest, values)) addresses.add(address);
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

/** Instructions with their continued lines joined, without comments. */
function instructionsOf(dockerfile: string): string[] {
  const lines = dockerfile.replace(/^\uFEFF/, "").split(/\r?\n/);
  let escape = "\\";
  for (const line of lines) {
    const [, key = "", value = ""] = HEAD.exec(line) ?? [];
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
  return found;
}

function setValues(
  text: string,
  given: Readonly<Record<string, string | null>>,
  values: Map<string, string>,
  usesGiven: boolean,
): void {
  for (const [, name = "", quoted, plain] of text.matchAll(/(\w+)(?:=(?:["']([^"']*)["']|(\S*)))?/g)) {
    const value =
      (usesGiven || quoted !== undefined || plain !== undefined ? given[name] : undefined) ?? quoted ?? plain;
    const isKnown = values.has(name) || values.size < MAX_VALUES;
    if (isKnown && value !== undefined && value !== null) values.set(name, expand(value, values));
  }
}

function expand(text: string, values: ReadonlyMap<string, string>): string {
  const bare = text.replaceAll(/^["']|["']$/g, "");
  let added = 0;
  const expanded = bare.replaceAll(VARIABLE, (_, plain?: string, braced?: string, operator?: string, word = "") => {
    const value = values.get(plain ?? braced ?? "") ?? "";
    const isEmpty = value === "";
    const chosen = operator === "-" && isEmpty ? word : operator === "+" ? (isEmpty ? "" : word) : value;
    added += chosen.length;
    return added > MAX_VALUE ? "" : chosen;
  });
  return expanded.slice(0, MAX_VALUE);
}

/** Words of ADD that name an address, or a variable that only its base or buildah knows. */
function addressesOf(text: string, values: ReadonlyMap<string, string>): string[] {
  const words = text.split(/[\s,[\]"]+/).filter((word) => word !== "" && !word.startsWith("--"));
  return words.slice(0, -1).flatMap((word) => {
    const names = Array.from(word.matchAll(VARIABLE), ([, plain, braced = ""]) => plain ?? braced);
    if (names.some((name) => !values.has(name))) return [word];
    const address = expand(word, values);
    if (address.length >= MAX_VALUE) {
      throw new Refusal("build.dockerfile", `ADD has an address of more than ${MAX_VALUE} characters`, {
        statusCode: 400,
      });
    }
    return /:\/\/|^git@|^github\.com\//.test(address) ? [address] : [];
  });
}
