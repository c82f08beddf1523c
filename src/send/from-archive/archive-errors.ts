import { isNoSpace } from "../../files/no-space.ts";
import { ImageNotFound, WITHOUT_NAME } from "../../image/archive/choose-image.ts";
import type { Compression } from "../../image/layer/compression.ts";
import { isStdin } from "../../image/open/archive-input.ts";
import { CannotDecompressArchive } from "../../image/open/decompress-archive.ts";
import { InvalidImage } from "../../image/invalid-image.ts";
import { OtherPartialVersion } from "../../image/partial/partial-image.ts";
import type { ArchiveKind, FileLocation } from "../../image/location.ts";
import { Failure, messageOf } from "../../output/errors.ts";
import type { Platform } from "../../image/platform.ts";
import { layerFailure } from "../../store/layer-failure.ts";

/** The hint for an engine that no longer has the layers in its list. */
export const NEW_LIST =
  "Create a new list of that engine (docker-over-ssh list > have.json), and write the archive again with --have have.json.";

const EXPECTED: Record<ArchiveKind, string> = {
  "docker-archive": "a file as `docker save` writes it",
  oci: "a folder that is an OCI layout",
  "oci-archive": "a tar of an OCI layout",
};

/** Returns the Failure for an archive or layout that cannot be opened, or for a file that is neither. Returns any other error unchanged. */
export function archiveFailure(location: FileLocation, error: unknown): unknown {
  const { kind, path } = location;
  const { code } = error as NodeJS.ErrnoException;
  const expected = EXPECTED[kind];
  if (code === "ENOENT") return missingArchive(location, error);
  if (error instanceof CannotDecompressArchive) {
    return new Failure("image-not-found", `${path} cannot be read: ${error.message}`, {
      expected: "an archive that is plain, compressed with gzip, or with zstd if Node is 22.15 or later",
      hint: `${decompressCommand(error.compression)} ${isStdin(path) ? "" : `${path} `}| docker-over-ssh push ${kind}:- …`,
      cause: error,
    });
  }
  if (error instanceof OtherPartialVersion) {
    return new Failure("image-not-found", `${path} is ${error.message}`, {
      expected: "an archive of push --have of the same version",
      hint: "Install the version that has written it, or write it with this version.",
      cause: error,
    });
  }
  if (error instanceof InvalidImage) {
    return new Failure(
      "image-not-found",
      `${isStdin(path) ? "the input on stdin" : path} is not ${expected}: ${error.message}`,
      {
        expected: "docker-archive:FILE, oci:FOLDER or oci-archive:FILE; - in place of FILE is stdin",
        hint: "Check which of them it is; if the kind is right, the archive is damaged: save or build it again.",
        cause: error,
      },
    );
  }
  if (error instanceof Failure || code === undefined) return error;
  return new Failure("image-not-found", `${path} cannot be read: ${messageOf(error)}`, { expected, cause: error });
}

function missingArchive({ kind, path, given }: FileLocation, cause: unknown): Failure {
  // `oci:v2` may be meant as an image name with a tag.
  const alternative = /^oci:[\w.-]+$/.test(given) ? ` An engine's image of that name is docker-daemon:${given}` : "";
  return new Failure("image-not-found", `there is no ${kind === "oci" ? "folder" : "file"} ${path}`, {
    expected: EXPECTED[kind],
    hint: `Check the path.${alternative}`,
    cause,
  });
}

/** Returns the command that writes a file's plain bytes to stdout. */
function decompressCommand(compression: Compression): string {
  return { xz: "xz -dc", bzip2: "bzip2 -dc", zstd: "zstd -dc", gzip: "gzip -dc", none: "cat" }[compression];
}

/** Returns the Failure for an image that is missing, ambiguous or damaged in an open archive. Returns any other error unchanged. */
export function archivedImageFailure(location: FileLocation, error: unknown, platform: Platform | undefined): unknown {
  if (error instanceof InvalidImage) return damagedImage(location, error);
  if (!(error instanceof ImageNotFound)) return error;
  const { kind, path } = location;
  const { ambiguity } = error;
  return new Failure("image-not-found", `${path}: ${error.message}`, {
    expected: ambiguity === undefined ? "an image in this archive" : `one image, chosen by its ${ambiguity}`,
    hint:
      ambiguity === "platform" || platform !== undefined
        ? "Choose another with --platform."
        : error.images === WITHOUT_NAME
          ? "Its image has no name: omit the name in the location, and give it one with --as NAME."
          : `Name one of its images: ${kind}:${path}:NAME`,
    cause: error,
  });
}

/** Returns the Failure for an image whose content does not match its digests. */
function damagedImage({ path }: FileLocation, cause: InvalidImage): Failure {
  return new Failure("not-verified", `the image in ${path} is damaged: ${cause.message}`, {
    expected: "content that matches the image's digests",
    hint: "Save or build it again.",
    cause,
  });
}

/** Returns the Failure for an archive that could be opened, but can no longer be read. Returns any other error unchanged. */
export function readFailure(error: unknown, location: FileLocation): unknown {
  if (error instanceof InvalidImage) return damagedImage(location, error);
  if (isNoSpace(error)) return layerFailure(error, "sent");
  if (error instanceof Failure || (error as NodeJS.ErrnoException).code === undefined) return error;
  return new Failure("transfer-failed", `${location.path} can no longer be read: ${messageOf(error)}`, {
    expected: "the archive to stay unchanged until the image has been sent",
    hint: "Run the same command again.",
    cause: error,
  });
}

/** Returns the Failure for a location that stores one platform of each image, and no index. */
export function noIndexIn({ kind, path }: FileLocation, isPartial = false): Failure {
  if (isPartial) {
    return new Failure(
      "refused",
      `${path} contains no index of several platforms: it is a partial archive, of one platform`,
      {
        expected: "neither --all-platforms nor several --platform",
        hint: "Omit them.",
      },
    );
  }
  return new Failure("refused", `${path} contains no index of several platforms: it is a docker archive`, {
    expected: "an OCI layout or an OCI archive, because of --all-platforms or several --platform",
    hint:
      kind === "docker-archive"
        ? `\`docker save\` of Docker 25 and later writes both into one file: name it oci-archive:${path}.`
        : "Write it as a layout, for instance with docker buildx build --output type=oci, or skopeo copy --all.",
  });
}
