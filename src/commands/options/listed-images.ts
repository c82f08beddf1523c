import { readFile } from "node:fs/promises";
import type { NonEmpty } from "../../non-empty.ts";
import { Failure, messageOf } from "../../output/errors.ts";
import type { OptionDefinition } from "./command-definition.ts";
import { parseImageList } from "./image-list.ts";

/** Values of the options that name images. */
export interface ListedImagesOptions {
  imagesFrom?: string | undefined;
  compose?: string | undefined;
  built?: boolean | undefined;
}

/** Maximum bytes of a list of images. */
const MAX_LIST = 1_000_000;

export const LISTED_IMAGES_OPTIONS: readonly OptionDefinition[] = [
  {
    flags: "--images-from <file>",
    description:
      "send the images that a file names, one per line, instead of IMAGE; - is stdin. # begins a comment. All words then belong to the remote side",
  },
  {
    flags: "--compose <file>",
    description:
      "send the images of the services in a compose file, as `docker compose config` reads it, instead of IMAGE. All words then belong to the remote side",
  },
  { flags: "--built", description: "with --compose: only the services with a build section" },
];

/**
 * Reads the images that an option names; undefined without such an option. Throws a `usage` Failure.
 *
 * @param words the words of the remote side
 */
export async function readListedImages(
  { imagesFrom, compose, built = false }: ListedImagesOptions,
  words: readonly string[],
): Promise<NonEmpty<string> | undefined> {
  if (built && compose === undefined) {
    throw new Failure("usage", "--built is for --compose", {
      expected: "--compose FILE",
      hint: "Omit --built, or name the compose file.",
    });
  }
  if (imagesFrom !== undefined && compose !== undefined) {
    throw new Failure("usage", "--images-from and --compose both name the images", {
      expected: "one of them",
      hint: "docker compose config --images | docker-over-ssh push --images-from - …",
    });
  }
  if (compose !== undefined) {
    const { readComposeImages } = await import("./compose-images.ts");
    return await readComposeImages(compose, built);
  }
  return imagesFrom === undefined ? undefined : await readList(imagesFrom, words);
}

async function readList(file: string, words: readonly string[]): Promise<NonEmpty<string>> {
  if (file !== "-") return parseImageList(await readWithin(file), `--images-from ${file}`);
  if (words.length > 0) return parseImageList(await readStdin(), "stdin");
  throw new Failure("usage", "--images-from - reads stdin, but without a command stdin is the tunnel", {
    expected: "a remote side after the options",
    hint: "For instance docker compose config --images | docker-over-ssh push --images-from - ssh://HOST",
  });
}

async function readWithin(file: string): Promise<string> {
  const text = await readFile(file, "utf8").catch((error: unknown) => {
    throw new Failure("usage", `--images-from ${file} cannot be read: ${messageOf(error)}`, {
      expected: "a file with one image per line, or - for stdin",
      hint: "Check the path.",
      cause: error,
    });
  });
  if (text.length > MAX_LIST) throw tooLong(`--images-from ${file}`);
  return text;
}

async function readStdin(): Promise<string> {
  let text = "";
  for await (const chunk of process.stdin.setEncoding("utf8")) {
    text += String(chunk);
    if (text.length > MAX_LIST) throw tooLong("stdin");
  }
  return text;
}

function tooLong(from: string): Failure {
  return new Failure("usage", `${from} is not a list of images: it is longer than 1 MB`, {
    expected: "one image per line",
    hint: "Check that this is the list, or split it.",
  });
}
