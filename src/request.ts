import type { LocalFiles, OpenedContext } from "./build-context/local-files.ts";
import type { SecretSpec } from "./credentials/secrets.ts";
import type { AgentSpec } from "./credentials/ssh-agents.ts";
import type { EngineEndpoint, SshAddress } from "./engine/connect/endpoint.ts";
import type { BuildOrder } from "./engine/engine-builds.ts";
import type { HaveList } from "./have/have-list.ts";
import type { FurtherNames } from "./image/further-names.ts";
import type { ImageName } from "./image/image-name.ts";
import type { FileLocation } from "./image/location.ts";
import type { Reference } from "./image/reference.ts";
import type { CompressOption } from "./packing/compress-option.ts";
import type { Via } from "./receive/into-engine/engine-target.ts";
import type { RegistryChoice } from "./registry/temporary-registry.ts";
import type { PlatformChoice } from "./image/index-content.ts";
import type { Platform } from "./image/platform.ts";

/** The request of a push or a pull, parsed and checked: no text in it is parsed again. */
export type TransferRequest = PushRequest | PullRequest;

/**
 * What a command line asks for: a transfer of each image with each remote side. Mostly there is one of both.
 *
 * A request is what one transfer of one image needs to know; the batch is above it.
 */
export interface Batch<Request extends TransferRequest = TransferRequest> {
  /** The remote sides; the images are the same for all of them. */
  remotes: NonEmpty<RemoteBatch<Request>>;
  /** --parallel: hosts at a time */
  parallel?: number | undefined;
  /** --relay: the first remote side gets the images from here, and the others from it. */
  relay?: RelayOrder | undefined;
}

/** What the first host of --relay is told before it gets the images: a push of its own to the others, as JSON carries it. */
export interface RelayOrder {
  /** The names that the images have on the first host, in the order of the transfers. */
  images: NonEmpty<string>;
  /** The addresses of the others, as they were typed. Their names are resolved on the first host. */
  hosts: NonEmpty<string>;
  /** Values of the options of push: those that are about the images and the hosts, and not about this side or its link. */
  options: Readonly<Record<string, unknown>> & { timeout?: number };
}

/** The transfers with one remote side. They share one connection. */
export interface RemoteBatch<Request extends TransferRequest = TransferRequest> {
  connection: Connection;
  /** One for each image, in the order of the command line. */
  transfers: NonEmpty<Request>;
  /** --watch: each image is sent again when its tag moves, until the command is ended. */
  watch?: boolean | undefined;
  /** --run: a command for the login shell of the host, when it has all images. */
  run?: string | undefined;
  /** This side takes the images that the peer names: the remote script or `pull` without IMAGE has started it. */
  acceptsOthers?: boolean;
}

export type NonEmpty<T> = readonly [T, ...T[]];

/** Sends an image. */
export interface PushRequest extends SharedRequest {
  role: "sender";
  source: SourceEngine | FileLocation;
  /** --as: the name of the image at the receiver. Left out: the receiver asks for one. */
  as?: Reference | undefined;
  /**
   * The name that this side gives to a remote side that it starts itself, or to an engine: --as, or the name in IMAGE. Left out where
   * the remote command names the image, and where only the archive names the image.
   */
  remoteName?: Reference | undefined;
}

/** Receives an image. */
export interface PullRequest extends SharedRequest {
  role: "receiver";
  /** The image's name at the sender. Left out: whatever the sender offers. */
  image?: ImageName | undefined;
  /** The first name that the image gets here. Left out: the names that the sender gives to it. */
  name?: Reference | undefined;
  /** The sender may give the image further names. */
  acceptsNames?: boolean | undefined;
  /** The sender may say how many older images to keep. */
  acceptsKeep?: boolean | undefined;
  /** --as, or --to docker-daemon:NAME: the name here is not the one that the sender knows. */
  isRenamed: boolean;
  target: TargetEngine | FileLocation;
  /** The target is a partial archive. */
  partial?: PartialRequest | undefined;
  /** --max-size: bytes that the missing layers may have, uncompressed */
  maxSize?: number | undefined;
}

/** The options of both sides. */
export interface SharedRequest {
  connection: Connection;
  /** --as, except for the first one, and --tag-also. */
  further?: FurtherNames | undefined;
  /** --keep: images of the repository that stay at the receiver, with the one that arrives */
  keep?: number | undefined;
  /** `os/arch[/variant]` */
  platform?: Platform | undefined;
  /** --all-platforms, or several --platform: the image is moved with its index */
  platforms?: PlatformChoice | undefined;
  /** ms */
  timeout?: number | undefined;
  /** --compress; of both sides, the sending one decides */
  compress?: CompressOption | undefined;
  /** --bwlimit, bytes a second in each direction; 0 is no limit */
  bwlimit?: number | undefined;
  /** --delta; either side's `never` counts for both, then either side's `always` */
  delta?: Delta | undefined;
  /** --preserve-digest; it is enough on one side */
  preserveDigest?: boolean | undefined;
  /** --dry-run: find out what a transfer would do, and send nothing */
  dryRun?: boolean | undefined;
}

/** When missing layers are sent by delta: where that is faster (`auto`), where it is possible, or not at all. */
export type Delta = "auto" | "always" | "never";

/** How this side reaches the other one. */
export type Connection =
  /** This process is the spawned side: its stdin and stdout are the tunnel. */
  | { kind: "spawned" }
  /** A remote command that ends in docker-over-ssh, word for word. */
  | { kind: "command"; words: readonly string[] }
  /** A remote command that ends in an engine (`docker system dial-stdio`), word for word. */
  | { kind: "engine"; words: readonly string[] }
  | HostConnection
  | LocationConnection
  /** Both sides are in this process: no link is between them, and nothing is packed. `with`: what the other side is. */
  | { kind: "in-process"; with: "engine" | "location" };

/** --to of push, --from of pull: the other side is a file or a folder, which this process opens as well. */
export interface LocationConnection {
  kind: "location";
  location: FileLocation;
  partial?: PartialRequest | undefined;
}

/** --have: write an archive without the layers that an engine elsewhere has. */
export interface PartialRequest {
  list: HaveList;
  /** The engine of this side, which may have images of there, for layers by delta; left out: no layer is by delta. */
  engine?: Pick<SourceEngine, "endpoint"> | undefined;
}

/** A host or a container that a login reaches: the best program that can run the remote side there is found, or sent there. */
export interface HostConnection {
  kind: "host";
  /** As it was typed. */
  given: string;
  address: HostAddress;
  /** --sudo: run the remote side as root, through sudo */
  sudo: boolean;
  /** --ssh: the program that logs in, and its own arguments */
  ssh: readonly string[];
  /** --far: the programs to try, in this order */
  programs: readonly RemoteProgram[];
  /** --far-image: the image with Node for a remote side in a container */
  image: Reference;
  /** An option asks for a container or for that image: it is pulled at each attempt, and sent from here if that fails. */
  isImageAsked: boolean;
  /** Ask on the terminal before Node is sent there: no option asks for it. */
  asksForNode: boolean;
  /** --far-path: folders there to look into first */
  paths: readonly string[];
}

/** `ssh://[USER@]HOST[:PORT]`, `docker://CONTAINER` or `kubectl://NAMESPACE/POD[/CONTAINER]` */
export type HostAddress =
  | SshAddress
  | { protocol: "docker"; container: string }
  | { protocol: "kubectl"; namespace: string; pod: string; container?: string };

/** A program that can run the remote side. */
export type RemoteProgram =
  /** docker-over-ssh, as it is installed there */
  | "installed"
  /** Node there, to which this docker-over-ssh is sent */
  | "node"
  /** the same in a container */
  | "container"
  /** the same, and Node is sent as well */
  | "node-sent"
  /** The engine alone: both sides run in this process */
  | "engine";

/** An engine to receive an image. */
export interface TargetEngine {
  kind: "docker-daemon";
  /** The address in -H or DOCKER_HOST; undefined: the docker context decides. */
  endpoint: EngineEndpoint | undefined;
  via: Via;
}

/** An engine, and which of its images to send. */
export interface SourceEngine {
  kind: "docker-daemon";
  /** As it was typed. */
  given: string;
  image: ImageName;
  /** The address in -H or DOCKER_HOST; undefined: the docker context decides. */
  endpoint: EngineEndpoint | undefined;
  /** Where the image is served from. */
  registry: RegistryChoice | { kind: "embedded" };
}

/** Whether a person started this side, and reads its progress. */
export function isInitiator({ kind }: Connection): boolean {
  return kind !== "spawned" && kind !== "in-process";
}

/** Whether both sides are in this process: then no link is between them. */
export function isOneProcess({ kind }: Connection): boolean {
  return kind === "in-process" || kind === "location";
}

/** Whether a receiver takes one image alone: it has a name of its own for it, or a file that holds one. */
export function isForOneImage({ target, isRenamed }: Pick<PullRequest, "target" | "isRenamed">): boolean {
  return isRenamed || (target.kind !== "docker-daemon" && (target.kind !== "oci" || target.name !== undefined));
}

/**
 * Builds an image on the remote side: like a pull of an image that is made there first. Only with `build.isBroughtBack` is the target opened, and
 * the image received.
 */
export interface BuildRequest extends PullRequest {
  build: BuildTask;
}

/** What a build needs of this side. */
export interface BuildTask {
  order: BuildOrder;
  /** Left out where `order.git` names the files. */
  files?: LocalFiles | undefined;
  /** The files, opened when the build has begun. Both sides use them where they are in one process. */
  opened?: Promise<OpenedContext> | undefined;
  /** What the builder may ask for, beside credentials */
  secrets: readonly SecretSpec[];
  agents: readonly AgentSpec[];
  /** --push: publish the image from there */
  push: boolean;
  /** --check: check the Dockerfile, and build nothing */
  check: boolean;
  /** --load or --to: the image comes back */
  isBroughtBack: boolean;
}

/** Whether a request is that of a build. */
export function isBuild(request: TransferRequest): request is BuildRequest {
  return "build" in request;
}
