import { namedEndpoint } from "../engine/connect/endpoint.ts";
import { type ImageName } from "../image/image-name.ts";
import type { FileLocation, ImageLocation } from "../image/location.ts";
import { Failure } from "../output/errors.ts";
import type { Via } from "../receive/into-engine/engine-target.ts";
import {
  storesOneImage,
  type Batch,
  type Connection,
  type LocationConnection,
  type PullRequest,
  type TargetEngine,
} from "../request.ts";
import type { CommandDefinition, TransferJob, Words } from "./options/command-definition.ts";
import { parseSize } from "./options/option-values.ts";
import { FROM_OPTION, readOtherSide, takesOneImage, wordsWithLocation } from "./options/read-location.ts";
import { withoutName, readImageName, readLocation, readReference, refuseEngineOptions } from "./options/read-names.ts";
import { readConnection } from "./options/read-connection.ts";
import { LISTED_IMAGES_OPTIONS, readListedImages, type ListedImagesOptions } from "./options/listed-images.ts";
import { readCommand, readWords } from "./options/read-words.ts";
import {
  isStartedByScript,
  readBatch,
  readTransferOptions,
  SHARED_OPTIONS,
  type SharedOptions,
  TRANSFER_ARGUMENTS,
  TRANSFER_USAGE,
} from "./options/shared-options.ts";

export interface PullOptionValues extends SharedOptions, ListedImagesOptions {
  via?: Via | undefined;
  to?: string | undefined;
  from?: string | undefined;
  /** Bytes */
  maxSize?: number | undefined;
}

export const pullCommand: CommandDefinition<PullOptionValues, TransferJob> = {
  name: "pull",
  summary: "receive an image from a host, through a remote command, or over stdin and stdout of this process",
  description:
    "Receives IMAGE. With COMMAND, runs it and talks to the `docker-over-ssh push IMAGE` that it starts, or to the engine behind `docker system dial-stdio`; ssh://[USER@]HOST[:PORT], or a host alone, runs the best program on the host, or sends docker-over-ssh there. Without COMMAND, this process is the remote side; without IMAGE, it accepts the image that the sender offers, under the names that the sender gives to it.",
  arguments: TRANSFER_ARGUMENTS,
  options: [
    {
      flags: "--via <method>",
      description: "load the missing layers into the engine (the default), or let the engine pull the image",
      choices: ["load", "pull"],
    },
    {
      flags: "--to <location>",
      description:
        "write the image to docker-archive:FILE, oci:FOLDER or oci-archive:FILE instead of an engine; FILE may be a pipe, or - for stdout",
    },
    FROM_OPTION,
    {
      flags: "--max-size <size>",
      description: "reject an image whose missing layers are larger than this uncompressed, e.g. 500m or 2g",
      parse: parseSize,
    },
    ...LISTED_IMAGES_OPTIONS,
    ...SHARED_OPTIONS,
  ],
  usage: TRANSFER_USAGE,
  async toJob(words, options, env) {
    const { from } = options;
    const images = await readListedImages(options, from === undefined ? words : [from]);
    if (from !== undefined) return pullFromLocationJob(words, images, { ...options, from }, env);
    if (images !== undefined) return pullJob({ images, command: readCommand(words) }, options, env);
    return words.length === 0 ? offeredJob(options, env) : pullJob(readWords(words, env), options, env);
  },
};

/** Creates the job of a pull from a file or a folder; without an image, of its only image. */
function pullFromLocationJob(
  words: readonly string[],
  listed: readonly string[] | undefined,
  options: PullOptionValues & { from: string },
  env: NodeJS.ProcessEnv,
): TransferJob {
  const { from, via } = options;
  if (via === "pull") {
    throw new Failure(
      "usage",
      `--via pull has no effect with --from ${from}, because an engine cannot pull from a file or a folder`,
      {
        expected: "one of them",
        hint: "Omit --via.",
      },
    );
  }
  const side = readOtherSide(from, "--from", options);
  if (words.length === 0 && listed === undefined) return offeredJob(options, env, side);
  return pullJob(wordsWithLocation(words, `--from ${from}`, listed), options, env, side);
}

/**
 * Creates the job of a pull from these words. Throws a `usage` Failure for arguments that contradict each other.
 *
 * @param otherSide the other side, if no COMMAND leads to it
 */
export function pullJob(
  words: Words,
  options: PullOptionValues,
  env: NodeJS.ProcessEnv,
  otherSide?: LocationConnection,
): TransferJob {
  const read = (image: string, connection: Connection) => readPullRequest(image, connection, options, env);
  const batch = readBatch(words, options, env, read, otherSide);
  if (words.images.length > 1) refuseOneImageTarget(batch.remotes[0].transfers[0], options);
  return jobOf(batch);
}

/** Throws a `usage` Failure for a --to that can hold only one image, or names the image. */
function refuseOneImageTarget(request: PullRequest, { to = "" }: PullOptionValues): void {
  if (storesOneImage(request)) throw takesOneImage(to);
}

/** Creates the job of a pull without words: the sender, which starts this side, names its images; a location contains one. */
function offeredJob(options: PullOptionValues, env: NodeJS.ProcessEnv, otherSide?: LocationConnection): TransferJob {
  const connection = otherSide ?? readConnection([], options, env);
  const transfers = [readPullRequest(undefined, connection, options, env)] as const;
  return jobOf({ remotes: [{ connection, transfers, acceptsOthers: otherSide === undefined }] });
}

function jobOf(batch: Batch<PullRequest>): TransferJob {
  return {
    batch,
    run: async (context) => await (await import("../run-batch/run-batch.ts")).pullFromRemotes(batch, context),
  };
}

/**
 * Creates a request from a pull's command line; without an image, for any image that the sender offers. Throws a `usage` Failure for
 * arguments that contradict each other.
 */
export function readPullRequest(
  image: string | undefined,
  connection: Connection,
  options: PullOptionValues,
  env: NodeJS.ProcessEnv,
): PullRequest {
  refuseWithEnginePull(options);
  if (options.allPlatforms || (options.platform ?? []).length > 1) refuseOnePlatform(options);
  const shared = readTransferOptions(connection, options);
  const to = options.to === undefined ? undefined : readTo(options.to);
  return {
    role: "receiver",
    ...readNames(image, to, options),
    target: readTarget(to, options, env),
    maxSize: options.maxSize,
    ...(isStartedByScript(connection, env) && { acceptsNames: true, acceptsKeep: true }),
    ...shared,
  };
}

/** Throws a `usage` Failure for options that contradict --via pull: layers that an engine pulls do not pass through this process. */
function refuseWithEnginePull({ via, maxSize, compress }: PullOptionValues): void {
  if (via !== "pull") return;
  if (compress !== undefined && compress.how !== "auto") {
    throw new Failure("usage", "--compress has no effect with --via pull, because the engine pulls blobs unchanged", {
      expected: "--compress or --via pull, not both",
      hint: "Omit one of them.",
    });
  }
  if (maxSize === undefined) return;
  throw new Failure("usage", "--max-size cannot be enforced with --via pull", {
    expected: "--max-size or --via pull, not both",
    hint: "Omit --via pull.",
  });
}

/** Throws a `usage` Failure for options that several platforms contradict. */
function refuseOnePlatform({ via, maxSize, to = "" }: PullOptionValues): void {
  const [option, why] =
    via === "pull"
      ? ["--via pull", "accepts one platform of an image"]
      : to.startsWith("docker-archive:")
        ? [`--to ${to}`, "is a docker archive, which stores one platform of an image"]
        : maxSize === undefined
          ? []
          : [
              "--max-size",
              "counts layers while they are unpacked, but the layers of several platforms are not unpacked",
            ];
  if (option === undefined) return;
  throw new Failure("usage", `${option} ${why}`, {
    expected: `--all-platforms or several --platform, or ${option}, not both`,
    hint: `Omit ${option}.`,
  });
}

function readTo(to: string): ImageLocation {
  const location = readLocation(to);
  if (location !== undefined) return location;
  throw new Failure("usage", `--to ${to} does not name a location`, {
    expected: "docker-daemon:, docker-archive:FILE, oci:FOLDER or oci-archive:FILE",
    hint: `For instance --to oci:${to}`,
  });
}

function readNames(
  given: string | undefined,
  to: ImageLocation | undefined,
  { as: [as] = [] }: PullOptionValues,
): Pick<PullRequest, "image" | "name" | "isRenamed" | "acceptsNames"> {
  const image = given === undefined ? undefined : readRequestedName(given);
  const inTo = to?.kind === "docker-daemon" ? to.name : undefined;
  if (as !== undefined && inTo !== undefined) {
    throw new Failure("usage", `--as ${as} and --to ${to?.given} are two names for one image`, {
      expected: "one of them",
      hint: "Omit the name after docker-daemon: or --as.",
    });
  }
  const name = as ?? inTo;
  if (name !== undefined) return { image, name: readReference(name), isRenamed: true };
  if (image === undefined) return { isRenamed: false, acceptsNames: true };
  if (image.reference === undefined) throw withoutName(image.given);
  return { image, name: image.reference, isRenamed: false };
}

/** Parses the name of the requested image. It cannot be a location, because only the sender knows where the image is. */
function readRequestedName(given: string): ImageName {
  const location = readLocation(given);
  if (location === undefined) return readImageName(given);
  if (location.kind === "docker-daemon") return readImageName(location.name ?? "");
  throw new Failure("usage", `${given} is a location, but pull needs the name of an image`, {
    expected: "the name of the image, and its target after --to",
    hint: `To write it: pull --to ${given} IMAGE; to read it: pull --from ${given} IMAGE. An image of that name is docker-daemon:${given}.`,
  });
}

function readTarget(
  to: ImageLocation | undefined,
  { via, host, keep }: PullOptionValues,
  env: NodeJS.ProcessEnv,
): TargetEngine | FileLocation {
  if (to !== undefined && to.kind !== "docker-daemon") {
    refuseEngineOptions(to, { "--via": via, "--host": host, "--keep": keep?.toString() });
    return to;
  }
  return { kind: "docker-daemon", endpoint: namedEndpoint(host, env), via: via ?? "load" };
}
