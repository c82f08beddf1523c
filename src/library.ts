import { InvalidValue, type TransferJob } from "./commands/options/command-definition.ts";
import {
  checkRate,
  parseCompress,
  parseKeep,
  parsePlatformOption,
  parseTag,
} from "./commands/options/option-values.ts";
import { parseFolder, parseImage } from "./commands/options/host-options.ts";
import { pullJob } from "./commands/pull.ts";
import { pushJob } from "./commands/push.ts";
import { isAddress } from "./commands/options/read-words.ts";
import type { SharedOptions } from "./commands/options/shared-options.ts";
import { Failure } from "./output/errors.ts";
import type { TransferEvent, TransferResult } from "./output/events.ts";
import type { RemoteProgram } from "./output/remote-programs.ts";
import { outputTo } from "./output/output.ts";
import { asFailure } from "./explain-error.ts";

/** The options of a transfer, as on the command line; docs/cli.md describes each. */
export interface TransferOptions {
  /** Name or ID of the image. To push also `docker-archive:FILE`, `oci:FOLDER` or `oci-archive:FILE`, each with an optional `:NAME`. */
  image: string;
  /**
   * The remote side: `ssh://[USER@]HOST[:PORT]`, `docker://CONTAINER` or `kubectl://NAMESPACE/POD[/CONTAINER]`; or a program and its
   * arguments, which start docker-over-ssh or end in `docker system dial-stdio`. `stdio`: this process is the remote side of a
   * docker-over-ssh that has started it, and its stdin and stdout are the tunnel.
   */
  remote: RemoteSide;
  /** Name of the image at the receiver, or several names for it */
  as?: string | readonly string[] | undefined;
  /** Further tags of the image at the receiver, in the repository of its first name */
  tagAlso?: readonly string[] | undefined;
  /** Number of images of the repository to keep at the receiver, including the one that arrives, at least 2; older ones are removed */
  keep?: number | undefined;
  /** `OS/ARCH[/VARIANT]`; several platforms are moved with the image's index */
  platform?: string | readonly string[] | undefined;
  /** Move the image with its index: all platforms, and attestations */
  allPlatforms?: boolean | undefined;
  delta?: "auto" | "always" | "never" | undefined;
  preserveDigest?: boolean | undefined;
  /** --dry-run: send nothing; the event `plan` reports what a transfer would do. */
  dryRun?: boolean | undefined;
  /** `auto`, `none`, `gzip`, `brotli` or `zstd`, the last three with an optional level: `gzip:9` */
  compress?: string | undefined;
  /** Bytes a second, in each direction; 0 is no limit */
  bwlimit?: number | undefined;
  /** With an address: the program that runs the remote side */
  far?: "auto" | RemoteProgram | undefined;
  /** With an address: an image with Node for a remote side in a container */
  farImage?: string | undefined;
  /** With an address: folders on the remote side that are searched for programs first */
  farPath?: readonly string[] | undefined;
  /** With `ssh://`: the program that logs in, and its options. Default: `ssh` */
  ssh?: readonly string[] | undefined;
  /** With an address: run the remote side through sudo */
  sudo?: boolean | undefined;
  /** Address of the engine of this side. Default: as for the docker command, `DOCKER_HOST` or the docker context */
  host?: string | undefined;
  /** ms */
  timeout?: number | undefined;
}

export type RemoteSide = `ssh://${string}` | `docker://${string}` | `kubectl://${string}` | readonly string[] | "stdio";

export interface PushOptions extends TransferOptions {
  /** `embedded`, `container` or `HOST:PORT` */
  registry?: string | undefined;
  /** With an address: a command that the remote login shell runs when the image has arrived */
  run?: string | undefined;
}

export interface PullOptions extends TransferOptions {
  via?: "load" | "pull" | undefined;
  /** `docker-daemon:[NAME]`, `docker-archive:FILE`, `oci:FOLDER` or `oci-archive:FILE` */
  to?: string | undefined;
  /** Maximum bytes of the missing layers, uncompressed */
  maxSize?: number | undefined;
}

/** Lets a caller follow and stop a transfer. */
export interface TransferControls {
  /** Stops the transfer, which removes what it has created and then rejects with the signal's reason. */
  signal?: AbortSignal | undefined;
  /** Called for each event, in order. If it throws, the transfer stops and rejects with that error. */
  onEvent?: ((event: TransferEvent) => void) | undefined;
}

/**
 * Sends an image, like `docker-over-ssh push`. Resolves when the receiver has the image under its name. Prints nothing, and does not
 * exit; a remote command, or sudo on the remote side, may ask for a password on the terminal.
 *
 * @throws Failure with a code; a `RemoteFailure` has the words of the remote side.
 */
export async function push(options: PushOptions, controls: TransferControls = {}): Promise<TransferResult> {
  const { image, remote, registry, run: command, ...shared } = options;
  return await run(
    () =>
      pushJob(
        { images: [image], command: wordsOf(remote) },
        { registry, run: command, ...valuesOf(shared) },
        process.env,
      ),
    controls,
  );
}

/**
 * Receives an image, like `docker-over-ssh pull`. Resolves when this side has the image under its name, and the sender is notified. Prints
 * nothing, and does not exit; a remote command, or sudo on the remote side, may ask for a password on the terminal.
 *
 * @throws Failure with a code; a `RemoteFailure` has the words of the remote side.
 */
export async function pull(options: PullOptions, controls: TransferControls = {}): Promise<TransferResult> {
  const { image, remote, via, to, maxSize, ...shared } = options;
  const own = { via, to, maxSize };
  return await run(
    () => pullJob({ images: [image], command: wordsOf(remote) }, { ...own, ...valuesOf(shared) }, process.env),
    controls,
  );
}

async function run(
  prepare: () => TransferJob,
  { signal, onEvent = () => {} }: TransferControls,
): Promise<TransferResult> {
  const listener = new AbortController();
  const stop = signal === undefined ? listener.signal : AbortSignal.any([signal, listener.signal]);
  const output = outputTo((event) => {
    try {
      onEvent(event);
    } catch (error) {
      listener.abort(error);
    }
  });
  try {
    const job = prepare();
    stop.throwIfAborted();
    const [result] = await job.run({ output, signal: stop, env: process.env });
    listener.signal.throwIfAborted();
    return result;
  } catch (error) {
    // The abort caused any other error.
    if (stop.aborted) throw stop.reason;
    throw asFailure(error);
  }
}

function wordsOf(remote: RemoteSide): readonly string[] {
  if (remote === "stdio") return [];
  if (typeof remote !== "string" && remote.length > 0) return remote;
  if (typeof remote === "string" && isAddress(remote)) return [remote];
  throw new Failure("usage", `${JSON.stringify(remote)} is not a remote side`, {
    expected:
      'ssh://[USER@]HOST[:PORT], docker://CONTAINER, kubectl://NAMESPACE/POD, a list of a program and its arguments, or "stdio"',
    hint: 'For instance ["ssh", "prod", "docker-over-ssh pull app:v2"].',
  });
}

/** Makes the checks that the parser of the command line makes for the command. */
function valuesOf({
  keep,
  as,
  tagAlso,
  platform,
  compress,
  bwlimit,
  farImage,
  farPath,
  ...others
}: Omit<TransferOptions, "image" | "remote">): SharedOptions {
  return {
    ...others,
    as: typeof as === "string" ? [as] : as,
    tagAlso: tagAlso?.map((tag) => parsed("tagAlso", tag, parseTag)),
    keep: keep === undefined ? undefined : parsed("keep", keep, (count) => parseKeep(String(count))),
    platform: (typeof platform === "string" ? [platform] : platform)?.map((one) =>
      parsed("platform", one, parsePlatformOption),
    ),
    compress: compress === undefined ? undefined : parsed("compress", compress, parseCompress),
    bwlimit: bwlimit === undefined ? undefined : parsed("bwlimit", bwlimit, checkRate),
    farImage: farImage === undefined ? undefined : parsed("farImage", farImage, parseImage),
    farPath: farPath?.map((folder) => parsed("farPath", folder, parseFolder)),
  };
}

/** Parses the value of an option. Throws a `usage` Failure, which names the option. */
function parsed<T, R>(option: keyof TransferOptions, value: T, parse: (value: T) => R): R {
  try {
    return parse(value);
  } catch (error) {
    if (!(error instanceof InvalidValue)) throw error;
    throw new Failure("usage", `the option ${option} has the value ${JSON.stringify(value)}`, {
      expected: error.expected,
    });
  }
}
