import { readFile } from "node:fs/promises";
import { Failure, messageOf } from "../../output/errors.ts";
import type { NonEmpty } from "../../request.ts";
import type { OptionDefinition } from "./command-definition.ts";
import { parseImageList } from "./image-list.ts";

/** Values of the options that name images. */
export interface ListedImagesOptions {
  imagesFrom?: string | undefined;
  compose?: string | undefined;
  built?: boolean | undefined;
}

/** Bytes. A longer file is no list of images. */
const MAX_LIST = 1_000_000;

export const LISTED_IMAGES_OPTIONS: readonly OptionDefinition[] = [
  {
    flags: "--images-from <file>",
    description:
      "take the images that a file names, one a line, instead of IMAGE; - is stdin. # begins a comment. All words are then the remote side",
  },
  {
    flags: "--compose <file>",
    description:
      "take the images of the services in a compose file, as `docker compose config` reads it, instead of IMAGE. All words are then the remote side",
  },
  { flags: "--built", description: "with --compose: only services that are built here, which have a build section" },
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
      hint: "Leave --built out, or name the compose file.",
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
  throw new Failure("usage", "--images-from - reads stdin, and without a command stdin is the tunnel", {
    expected: "a remote side behind the options",
    hint: "For instance docker compose config --images | docker-over-ssh push --images-from - ssh://HOST",
  });
}

async function readWithin(file: string): Promise<string> {
  const text = await readFile(file, "utf8").catch((error: unknown) => {
    throw new Failure("usage", `--images-from ${file} cannot be read: ${messageOf(error)}`, {
      expected: "a file with one image a line, or - for stdin",
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
  return new Failure("usage", `${from} is no list of images: it is longer than 1 MB`, {
    expected: "one image a line",
  });
}
