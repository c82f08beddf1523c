import { ImageNotFound } from "../image/archive/choose-image.ts";
import type { Compression } from "../image/layer/compression.ts";
import { isStdin } from "../image/archive/archive-input.ts";
import { CannotDecompressArchive } from "../image/archive/decompress-archive.ts";
import { InvalidImage } from "../image/invalid-image.ts";
import type { ArchiveKind, FileLocation } from "../image/location.ts";
import { Failure, messageOf } from "../output/errors.ts";

const WHAT: Record<ArchiveKind, string> = {
  "docker-archive": "a file as `docker save` writes it",
  oci: "a folder that is an OCI layout",
  "oci-archive": "a tar of an OCI layout",
};

/**
 * It cannot be opened, or holds no images: as a person should be told it.
 */
export function unreadable({ kind, path, given }: FileLocation, error: unknown): unknown {
  const { code } = error as NodeJS.ErrnoException;
  const expected = WHAT[kind];
  if (code === "ENOENT") {
    // `oci:v2` may be meant for the tag of an image.
    const otherwise = /^oci:[\w.-]+$/.test(given)
      ? ` An image of that name in an engine is docker-daemon:${given}`
      : "";
    return new Failure("image-not-found", `there is no ${kind === "oci" ? "folder" : "file"} ${path}`, {
      expected,
      hint: `See whether the path is right.${otherwise}`,
      cause: error,
    });
  }
  if (error instanceof CannotDecompressArchive) {
    return new Failure("image-not-found", `${path} cannot be read: ${error.message}`, {
      expected: "an archive that is packed with gzip, or not at all, or with zstd where Node is 22.15 or later",
      hint: `${unpacker(error.compression)} ${isStdin(path) ? "" : `${path} `}| docker-over-ssh push ${kind}:- …`,
      cause: error,
    });
  }
  if (error instanceof InvalidImage) {
    return new Failure(
      "image-not-found",
      `${isStdin(path) ? "what comes on stdin" : path} is not ${expected}: ${error.message}`,
      {
        expected: "docker-archive:FILE, oci:FOLDER or oci-archive:FILE; - in place of FILE is stdin",
        hint: "See whether it is one of them; if it is, it is damaged: save or build it again.",
        cause: error,
      },
    );
  }
  if (error instanceof Failure || code === undefined) return error;
  return new Failure("image-not-found", `${path} cannot be read: ${messageOf(error)}`, { expected, cause: error });
}

/** The program that writes a file's plain bytes to its stdout. */
function unpacker(compression: Compression): string {
  return { xz: "xz -dc", bzip2: "bzip2 -dc", zstd: "zstd -dc", gzip: "gzip -dc", none: "cat" }[compression];
}

/** What is wrong with the image that is meant, or that there is none. */
export function explained(error: unknown, location: FileLocation, platform: string | undefined): unknown {
  if (error instanceof InvalidImage) return damaged(location, error);
  if (!(error instanceof ImageNotFound)) return error;
  const { kind, path } = location;
  const name = `Name one that it holds: ${kind}:${path}:NAME`;
  return new Failure("image-not-found", `${path}: ${error.message}`, {
    expected:
      error.ambiguity === undefined ? "an image that it holds" : `one image; the ${error.ambiguity} would tell which`,
    hint: error.ambiguity === "platform" || platform !== undefined ? "Choose another with --platform." : name,
    cause: error,
  });
}

/** The image is there, and not what it says it is. */
export function damaged({ path }: FileLocation, cause: InvalidImage): Failure {
  return new Failure("not-verified", `the image in ${path} is not what it should be: ${cause.message}`, {
    expected: "content that has the digests that it is named by",
    hint: "It is damaged, or was made so: save or build it again.",
    cause,
  });
}
