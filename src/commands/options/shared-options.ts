import type { FurtherNames } from "../../image/further-names.ts";
import type { CompressOption } from "../../packing/compress-option.ts";
import { Failure } from "../../output/errors.ts";
import { STARTED_BY_SCRIPT } from "../../remote/script/remote-lines.ts";
import type { Batch, Connection, Delta, RemoteBatch, SharedRequest, TransferRequest } from "../../request.ts";
import type { ArgumentDefinition, OptionDefinition, Words } from "./command-definition.ts";
import { HOST_OPTIONS, type HostOptions } from "./host-options.ts";
import { parseCompress, parsePlatformOption, parseRate, parseSeconds, parseTag, parseKeep } from "./option-values.ts";
import { readConnections } from "./read-connection.ts";
import { readReference } from "./read-names.ts";
import { formatPlatform, type Platform } from "../../image/platform.ts";

/** Values of the options that push and pull share. */
export interface SharedOptions extends HostOptions {
  /** The first one names the image; the others are further names of it. */
  as?: readonly string[] | undefined;
  tagAlso?: readonly string[] | undefined;
  keep?: number | undefined;
  /** With several, the image is moved with its index. */
  platform?: readonly Platform[] | undefined;
  allPlatforms?: boolean | undefined;
  delta?: Delta | undefined;
  preserveDigest?: boolean | undefined;
  dryRun?: boolean | undefined;
  compress?: CompressOption | undefined;
  /** Bytes a second */
  bwlimit?: number | undefined;
  host?: string | undefined;
  /** ms */
  timeout?: number | undefined;
}

/** Converts the shared options to the fields of a request. */
export function readTransferOptions(connection: Connection, options: SharedOptions): SharedRequest {
  const { timeout, compress, bwlimit, delta = "auto", preserveDigest, dryRun } = options;
  const { keep } = options;
  const further = readFurtherNames(options);
  return {
    connection,
    ...readPlatforms(options),
    timeout,
    compress,
    bwlimit,
    delta,
    preserveDigest,
    dryRun,
    further,
    keep,
  };
}

/** Reads --platform and --all-platforms. One platform is moved alone; several are moved with the index that names them. */
function readPlatforms({
  platform = [],
  allPlatforms = false,
}: SharedOptions): Pick<SharedRequest, "platform" | "platforms"> {
  const distinct = [...new Map(platform.map((choice) => [formatPlatform(choice), choice])).values()];
  if (allPlatforms && distinct.length > 0) {
    throw new Failure("usage", "--all-platforms and --platform are both given", {
      expected: "one of them",
      hint: "Name the platforms with --platform, or omit it.",
    });
  }
  if (allPlatforms) return { platforms: "all" };
  return distinct.length > 1 ? { platforms: distinct } : { platform: distinct[0] };
}

function readFurtherNames({ as: [, ...names] = [], tagAlso: tags = [] }: SharedOptions): FurtherNames | undefined {
  return names.length + tags.length === 0 ? undefined : { names: names.map(readReference), tags };
}

/**
 * Creates a request for each image and each remote side of COMMAND. Throws a `usage` Failure.
 *
 * @param otherSide the only other side, if no COMMAND leads to it
 */
export function readBatch<Request extends TransferRequest>(
  { images: [image, ...others], command }: Words,
  options: SharedOptions,
  env: NodeJS.ProcessEnv,
  readRequest: (image: string, connection: Connection) => Request,
  otherSide?: Connection,
): Batch<Request> {
  const [as] = options.as ?? [];
  if (as !== undefined && others.length > 0) {
    throw new Failure("usage", `--as ${as} is one name, but ${others.length + 1} images are named`, {
      expected: "one image, or no --as",
      hint: "Omit --as: each image then gets the name that it has at the sender.",
    });
  }
  const read = (connection: Connection): RemoteBatch<Request> => ({
    connection,
    ...(isStartedByScript(connection, env) && { acceptsOthers: true }),
    transfers: [readRequest(image, connection), ...others.map((other) => readRequest(other, connection))],
  });
  const [first, ...further] = otherSide === undefined ? readConnections(command, options, env) : [otherSide];
  return { remotes: [read(first), ...further.map(read)] };
}

/** Returns whether the initiator has started this side through the remote script, and has therefore chosen all of its words. */
export function isStartedByScript({ kind }: Connection, env: NodeJS.ProcessEnv): boolean {
  return kind === "spawned" && env[STARTED_BY_SCRIPT] === "1";
}

/** The words of push and pull, for `usage:`. */
export const TRANSFER_USAGE = "[options] IMAGE... [--] [COMMAND...]";

export const TRANSFER_ARGUMENTS: readonly ArgumentDefinition[] = [
  {
    term: "[IMAGE]",
    description:
      "name of the image, the same on both sides, or its ID; push also accepts docker-archive:FILE, oci:FOLDER or oci-archive:FILE, each with an optional :NAME. Several images must precede -- or an address: IMAGE IMAGE -- COMMAND, IMAGE IMAGE ssh://HOST",
  },
  {
    term: "[COMMAND...]",
    description:
      "a host: [ssh://][USER@]HOST[:PORT], docker://CONTAINER or kubectl://NAMESPACE/POD[/CONTAINER]; or program and arguments that start the remote side, passed on unchanged",
  },
];

export const SHARED_OPTIONS: readonly OptionDefinition[] = [
  {
    flags: "--platform <os/arch>",
    description:
      "variant of the image to send, e.g. linux/arm64. If repeated, these platforms are sent with the image's index, which keeps its digest and names the other platforms without their content, as after docker pull --platform",
    parse: parsePlatformOption,
    repeats: true,
  },
  {
    flags: "--all-platforms",
    description:
      "send the image with its index: all platforms, and the attestations that the source has, byte for byte. Works from and to containerd stores, OCI layouts and OCI archives",
  },
  {
    flags: "--as <name>",
    description:
      "name of the image at the receiver; by default IMAGE, or the name that the receiver requests. May be repeated: the image gets all of the names",
    parse: (text) => text,
    repeats: true,
  },
  {
    flags: "--tag-also <tag>",
    description:
      "a further tag of the image at the receiver, in the repository of its first name, e.g. latest; may be repeated",
    parse: parseTag,
    repeats: true,
  },
  {
    flags: "--keep <count>",
    description:
      "after the transfer, remove older images of the same repository from the receiving engine, and keep this number of images, including the one that has arrived; at least 2, because the next delta needs the previous image. An image that a container uses, running or not, also stays",
    parse: parseKeep,
  },
  {
    flags: "--delta <when>",
    description:
      "send missing layers by delta: auto (if that is predicted to be faster, the default), always (if possible) or never",
    choices: ["auto", "always", "never"],
  },
  { flags: "--no-delta", description: "same as --delta never", preset: "never" },
  {
    flags: "--preserve-digest",
    description:
      "send layers exactly as the source stores them and keep its manifest, so that the digest stays the same if both sides store manifests",
  },
  {
    flags: "--dry-run",
    description:
      "connect and find out what would be sent, how, in what time, and whether the receiver's disks have room; send no layer, and change nothing",
  },
  {
    flags: "--compress <codec>",
    description:
      "compress layers that are stored uncompressed: none, gzip, brotli or zstd, with an optional level (gzip:9); by default auto, the best codec that both sides have, at a level that keeps up with the link. Compressed layers are sent unchanged",
    parse: parseCompress,
  },
  {
    flags: "--bwlimit <rate>",
    description:
      "limit the rate in each direction, in KiB/s or with a unit as in rsync: 500, 1.5m, 2mb; 0 means no limit",
    parse: parseRate,
  },
  ...HOST_OPTIONS,
  {
    flags: "-H, --host <address>",
    description: "address of the engine, as for the docker command: unix://, tcp://, npipe:// or ssh://",
  },
  {
    flags: "--timeout <seconds>",
    description:
      "give up when the remote side or an engine does not answer, or the link is silent, for this long (default: 60, and 20 for the link); an engine that loads or saves may be silent ten times as long",
    parse: parseSeconds,
  },
];
