import { stat } from "node:fs/promises";
import { ImageNotFound } from "../image/archive/choose.ts";
import type { ImageArchive } from "../image/archive/image-archive.ts";
import { openArchive } from "../image/archive/open.ts";
import { InvalidImage } from "../image/manifest.ts";
import type { ArchiveKind, FilePlace } from "../image/place.ts";
import { Failure, messageOf } from "../output/errors.ts";

const WHAT: Record<ArchiveKind, string> = {
  "docker-archive": "a file as `docker save` writes it",
  oci: "a folder that is an OCI layout",
  "oci-archive": "a tar of an OCI layout",
};

/** Opens a file or a folder. Fails with `image-not-found` when it is not there, or nothing of the kind. */
export async function openPlace(place: FilePlace): Promise<ImageArchive> {
  const { kind, path, given } = place;
  try {
    const isFolder = (await stat(path)).isDirectory();
    if (isFolder === (kind === "oci")) return await openArchive(kind, path);
  } catch (error) {
    throw unreadable(place, error);
  }
  throw new Failure("image-not-found", `${path} is a ${kind === "oci" ? "file" : "folder"}`, {
    expected: `${WHAT[kind]}, because of ${given}`,
    hint: kind === "oci" ? `For a file: docker-archive:${path} or oci-archive:${path}` : `For a folder: oci:${path}`,
  });
}

/** It cannot be opened, or is nothing of the kind. */
function unreadable({ kind, path, given }: FilePlace, error: unknown): unknown {
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
  if (error instanceof InvalidImage) {
    const isGzip = error.message.includes("packed with gzip as a whole");
    return new Failure("image-not-found", `${path} is not ${expected}: ${error.message}`, {
      expected: "docker-archive:FILE, oci:FOLDER or oci-archive:FILE, as it is",
      hint: isGzip
        ? `gunzip ${path}`
        : "See which of them it is, and name it so; if it is that, it is damaged: save or build it again.",
      cause: error,
    });
  }
  if (code === undefined) return error;
  return new Failure("image-not-found", `${path} cannot be read: ${messageOf(error)}`, { expected, cause: error });
}

/** What is wrong with the image that is meant, or that there is none. */
export function explained(error: unknown, place: FilePlace, platform: string | undefined): unknown {
  if (error instanceof InvalidImage) return damaged(place, error);
  if (!(error instanceof ImageNotFound)) return error;
  const { kind, path } = place;
  const name = `Name one that it holds: ${kind}:${path}:NAME`;
  return new Failure("image-not-found", `${path}: ${error.message}`, {
    expected:
      error.unclear === undefined ? "an image that it holds" : `one image; the ${error.unclear} would tell which`,
    hint: error.unclear === "platform" || platform !== undefined ? "Choose another with --platform." : name,
    cause: error,
  });
}

/** The image is there, and not what it says it is. */
export function damaged({ path }: FilePlace, cause: InvalidImage): Failure {
  return new Failure("not-verified", `the image in ${path} is not what it should be: ${cause.message}`, {
    expected: "content that has the digests that it is named by",
    hint: "It is damaged, or was made so: save or build it again.",
    cause,
  });
}
