import { accessSync, constants, statSync } from "node:fs";
import { delimiter, join } from "node:path";
import { parseImageName } from "../../image/image-name.ts";
import { parseLocation } from "../../image/location.ts";
import { Failure } from "../../output/errors.ts";
import type { Words } from "./command-definition.ts";
import { atLeastOne } from "./image-list.ts";

/** The schemes of a host's address. */
const SCHEME = /^(?:ssh|docker|kubectl):\/\//;

/** Returns whether the word is the address of a host or a container. */
export function isAddress(word: string): boolean {
  return SCHEME.test(word);
}

/**
 * Reads the words of a transfer:
 * - `IMAGE [COMMAND…]`: one image, and all other words are the remote side;
 * - `IMAGE IMAGE… -- COMMAND…` and `IMAGE IMAGE… ADDRESS…`: the words before the first `--` or address are images, unless one of them cannot be an
 *   image. A command may also contain `--` or an address (`kubectl exec -i POD -- …`, `ssh ssh://HOST …`). In this case, the second word is a
 *   program of this machine and the last words are not addresses, or there is an option among the words before.
 *
 * Throws a `usage` Failure if no image is named.
 */
export function readWords(words: readonly string[], env: NodeJS.ProcessEnv): Words {
  const [image, ...others] = words;
  if (image === undefined) throw noImage();
  const end = others.findIndex((word) => word === "--" || isAddress(word));
  const further = others.slice(0, Math.max(end, 0));
  const endsWithAddresses = end !== -1 && others.slice(end).every(isAddress);
  const areImages = further.every(mayBeImage) && (endsWithAddresses || !isProgram(further[0], env));
  if (!areImages) return { images: [image], command: others };
  return { images: atLeastOne([image, ...further]), command: readCommand(others.slice(further.length)) };
}

/** Reads the words of the remote side alone, because an option names the images. As usual, `--` marks the end of the options. */
export function readCommand(words: readonly string[]): readonly string[] {
  return words[0] === "--" ? words.slice(1) : words;
}

function noImage(): Failure {
  return new Failure("usage", "no IMAGE is named", {
    expected: "the name of an image, or --images-from or --compose with a file that names them",
    hint: "For instance docker-over-ssh push app:v2 ssh://HOST; see --help.",
  });
}

/** Returns whether a word can name an image. */
function mayBeImage(word: string): boolean {
  try {
    return parseLocation(word) !== undefined || parseImageName(word) !== undefined;
  } catch {
    return false;
  }
}

function isProgram(word: string | undefined, env: NodeJS.ProcessEnv): boolean {
  return word !== undefined && findProgram(word, env) !== undefined;
}

/** Returns the path of a program, like a shell: in PATH, or the word itself if it is a path. */
export function findProgram(name: string, { PATH = "" }: NodeJS.ProcessEnv): string | undefined {
  const candidates = name.includes("/") ? [name] : PATH.split(delimiter).map((folder) => join(folder, name));
  return candidates.find((path) => {
    try {
      accessSync(path, constants.X_OK);
      return statSync(path).isFile();
    } catch {
      return false;
    }
  });
}
