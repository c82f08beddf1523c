import { namedEndpoint } from "../engine/connect/endpoint.ts";
import type { FileLocation } from "../image/location.ts";
import type { Reference } from "../image/reference.ts";
import type { NonEmpty } from "../non-empty.ts";
import { Failure } from "../output/errors.ts";
import type { CompressOption } from "../packing/compress-option.ts";
import { chooseRegistry } from "../registry/choose-registry.ts";
import type { TransferResult } from "../output/events.ts";
import {
  storesOneImage,
  type Batch,
  type Connection,
  type LocationConnection,
  type PushRequest,
  type SourceEngine,
} from "../request.ts";
import type { Context } from "../transfer.ts";
import type { CommandDefinition, TransferJob, Words } from "./options/command-definition.ts";
import { checkRegistry } from "./options/option-values.ts";
import {
  readOtherSide,
  refuseHave,
  takesOneImage,
  TO_OPTIONS,
  wordsWithLocation,
  type ToOptions,
} from "./options/read-location.ts";
import { withoutName, readImageName, readLocation, readReference, refuseEngineOptions } from "./options/read-names.ts";
import { LISTED_IMAGES_OPTIONS, readListedImages, type ListedImagesOptions } from "./options/listed-images.ts";
import { readCommand, readWords } from "./options/read-words.ts";
import { relayOrder } from "./options/relay-order.ts";
import { WATCH_OPTION, withWatch, type WatchOptions } from "./options/watch-option.ts";
import { SEVERAL_HOSTS_OPTIONS, wordsWithHosts, type SeveralHostsOptions } from "./options/several-hosts.ts";
import {
  readBatch,
  readTransferOptions,
  SHARED_OPTIONS,
  type SharedOptions,
  TRANSFER_ARGUMENTS,
  TRANSFER_USAGE,
} from "./options/shared-options.ts";

export interface PushOptionValues
  extends SharedOptions, SeveralHostsOptions, ListedImagesOptions, WatchOptions, ToOptions {
  run?: string | undefined;
  registry?: string | undefined;
}

export const pushCommand: CommandDefinition<PushOptionValues, TransferJob> = {
  name: "push",
  summary: "send an image to a host, through a remote command, or over stdin and stdout of this process",
  description:
    "Sends IMAGE. With COMMAND, runs it and talks to the `docker-over-ssh pull IMAGE` that it starts, or to the engine behind `docker system dial-stdio`; ssh://[USER@]HOST[:PORT], or a host alone, runs the best program on the host, or sends docker-over-ssh there. Without COMMAND, this process is the remote side.",
  arguments: TRANSFER_ARGUMENTS,
  options: [
    {
      flags: "--registry <where>",
      description:
        "serve the image from this process (embedded, the default), from a registry:2 container (container) or from your own registry (HOST:PORT)",
      parse: checkRegistry,
    },
    {
      flags: "--run <command>",
      description:
        "with ssh://HOST, docker://CONTAINER or kubectl://…: run this command in the remote login shell, without input, when all images have arrived; its output is shown, and its exit status becomes that of docker-over-ssh. It needs a login of its own",
    },
    WATCH_OPTION,
    ...TO_OPTIONS,
    ...LISTED_IMAGES_OPTIONS,
    ...SEVERAL_HOSTS_OPTIONS,
    ...SHARED_OPTIONS,
  ],
  usage: TRANSFER_USAGE,
  async toJob(words, options, env) {
    const { hostsFile, to, have } = options;
    if (to !== undefined) return await pushToLocationJob(words, { ...options, to }, env);
    if (have !== undefined) refuseHave(have, undefined);
    const listed = await readListedImages(options, hostsFile === undefined ? words : [...words, hostsFile]);
    if (hostsFile !== undefined) {
      return pushJob(await wordsWithHosts(words, hostsFile, listed), options, env);
    }
    const read = listed === undefined ? readWords(words, env) : { images: listed, command: readCommand(words) };
    return pushJob(read, options, env);
  },
};

/** Creates the job of a push to a file or a folder. */
async function pushToLocationJob(
  words: readonly string[],
  options: PushOptionValues & { to: string },
  env: NodeJS.ProcessEnv,
): Promise<TransferJob> {
  const { to, have, hostsFile, keep, relay, watch } = options;
  const forHosts = Object.entries({ "--hosts-file": hostsFile, "--keep": keep, "--relay": relay, "--watch": watch })
    .filter(([, value]) => value !== undefined && value !== false)
    .map(([name]) => name);
  const side = readOtherSide(to, "--to", options, forHosts);
  if (have !== undefined) refuseHave(have, side.location, options);
  const listed = await readListedImages(options, [to]);
  const read = wordsWithLocation(words, `--to ${to}`, listed);
  const { location } = side;
  if (read.images.length > 1 && storesOneImage({ target: location, isRenamed: false })) throw takesOneImage(to);
  const list = have === undefined ? undefined : await (await import("./options/read-have.ts")).readHave(have);
  const engine = { endpoint: namedEndpoint(options.host, env) };
  return pushJob(read, options, env, { ...side, ...(list && { partial: { list, engine } }) });
}

/**
 * Creates the job of a push from these words. Throws a `usage` Failure for arguments that contradict each other.
 *
 * @param otherSide the other side, if no COMMAND leads to it
 */
export function pushJob(
  words: Words,
  options: PushOptionValues,
  env: NodeJS.ProcessEnv,
  otherSide?: LocationConnection,
): TransferJob {
  const { parallel } = options;
  const read = (image: string, connection: Connection) => readPushRequest(image, connection, options, env);
  const { remotes } = withWatch(withRun(readBatch(words, options, env, read, otherSide), options), options);
  if (words.images.length > 1) remotes[0].transfers.forEach(refuseWithoutName);
  const batch = { remotes, parallel, relay: options.relay ? relayOrder({ remotes }, options) : undefined };
  return { batch, run: async (context) => await pushBatch(batch, context) };
}

async function pushBatch(batch: Batch<PushRequest>, context: Context): Promise<NonEmpty<TransferResult>> {
  const { relay } = batch;
  if (relay === undefined) return await (await import("../run-batch/run-batch.ts")).pushToRemotes(batch, context);
  return await (await import("../run-batch/relay/push-by-relay.ts")).pushByRelay(batch, relay, context);
}

/** Throws a `usage` Failure for an image without a name among several, because the receiver requests each by its name. */
function refuseWithoutName({ source }: PushRequest): void {
  if (nameIn(source) !== undefined) return;
  throw new Failure("usage", `${source.given} does not name its image, but several images are named`, {
    expected: "a name after the path",
    hint: `For instance ${source.given}:app:v2.`,
  });
}

/** Adds the command of --run to each remote side. Throws a `usage` Failure for one that cannot run it. */
function withRun({ remotes }: Batch<PushRequest>, { run }: PushOptionValues): Batch<PushRequest> {
  if (run === undefined) return { remotes };
  const [first, ...others] = remotes;
  if (run.trim() === "" || remotes.some(({ connection }) => connection.kind !== "host")) {
    throw new Failure("usage", "--run is a command for a host", {
      expected: "--run COMMAND, with ssh://[USER@]HOST, docker://CONTAINER or kubectl://NAMESPACE/POD after the image",
      hint: `With a command of your own, let the shell run it: docker-over-ssh push … && ssh HOST ${JSON.stringify(run)}`,
    });
  }
  return { remotes: [{ ...first, run }, ...others.map((remote) => ({ ...remote, run }))] };
}

/** Creates a request from a push's command line. Throws a `usage` Failure for arguments that contradict each other. */
export function readPushRequest(
  image: string,
  connection: Connection,
  options: PushOptionValues,
  env: NodeJS.ProcessEnv,
): PushRequest {
  const shared = readTransferOptions(connection, options);
  const [given] = options.as ?? [];
  const as = given === undefined ? undefined : readReference(given);
  const source = readSource(image, options, env);
  const { kind } = connection;
  // The user's remote command names the image itself.
  const remoteName = kind === "host" || kind === "engine" ? (as ?? nameIn(source)) : undefined;
  return { role: "sender", source, as, remoteName, ...shared };
}

function readSource(image: string, options: PushOptionValues, env: NodeJS.ProcessEnv): SourceEngine | FileLocation {
  const { registry, host, compress } = options;
  const location = readLocation(image) ?? { kind: "docker-daemon", given: image, name: image };
  if (location.kind !== "docker-daemon") {
    refuseEngineOptions(location, { "--registry": registry === "embedded" ? undefined : registry, "--host": host });
    return location;
  }
  const choice = chooseRegistry(registry, env);
  if (choice.kind !== "embedded") refuseSeveralPlatforms(options);
  if (choice.kind !== "embedded") refuseCompress(compress);
  return {
    kind: location.kind,
    given: image,
    image: readImageName(location.name ?? ""),
    endpoint: namedEndpoint(host, env),
    registry: choice,
  };
}

/** Throws a `usage` Failure for several platforms, because an engine pushes one. */
function refuseSeveralPlatforms({ allPlatforms, platform = [] }: PushOptionValues): void {
  if (!allPlatforms && platform.length < 2) return;
  throw new Failure("usage", "a registry that the engine pushes into gets one platform of an image", {
    expected: "--all-platforms or several --platform, or such a registry, not both",
    hint: "Serve the image from this process: --registry embedded.",
  });
}

/** Throws a `usage` Failure for --compress, because an image that an engine pushes into a registry is served unchanged. */
function refuseCompress(compress: CompressOption | undefined): void {
  if (compress === undefined || compress.how === "auto") return;
  throw new Failure(
    "usage",
    "--compress has no effect with a registry that the engine pushes into, because the registry serves blobs unchanged",
    {
      expected: "--compress, or such a registry, not both",
      hint: "Omit --compress, or serve the image from this process: --registry embedded.",
    },
  );
}

/** Returns the name in IMAGE; undefined for a file or a folder without one. */
function nameIn(source: SourceEngine | FileLocation): Reference | undefined {
  if (source.kind !== "docker-daemon" && source.name === undefined) return undefined;
  const image = source.kind === "docker-daemon" ? source.image : readImageName(source.name?.given ?? "");
  if (image.reference === undefined) throw withoutName(image.given);
  return image.reference;
}
