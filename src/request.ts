import type { LocalFiles, OpenedContext } from "./build-context/local-files.ts";
import type { SecretSpec } from "./credentials/secrets.ts";
import type { AgentSpec } from "./credentials/ssh-agents.ts";
import type { EngineEndpoint, SshAddress } from "./engine/connect/endpoint.ts";
import type { BuildOrder } from "./engine/engine-builder.ts";
import type { HaveList } from "./have/have-list.ts";
import type { FurtherNames } from "./image/further-names.ts";
import type { ImageName } from "./image/image-name.ts";
import type { FileLocation } from "./image/location.ts";
import type { Reference } from "./image/reference.ts";
import type { NonEmpty } from "./non-empty.ts";
import type { RemoteProgram } from "./output/remote-programs.ts";
import type { CompressOption } from "./packing/compress-option.ts";
import type { Via } from "./receive/into-engine/engine-target.ts";
import type { RegistryChoice } from "./registry/temporary-registry.ts";
import type { PlatformChoice } from "./image/index-content.ts";
import type { Platform } from "./image/platform.ts";

/** The request of a push or a pull, parsed and checked: no text in it is parsed again. */
export type TransferRequest = PushRequest | PullRequest;

/**
 * The request of a command line: a transfer of each image with each remote side. Usually there is one of each.
 *
 * A request contains everything that the transfer of one image needs. A batch consists of requests.
 */
export interface Batch<Request extends TransferRequest = TransferRequest> {
  /** The remote sides; the images are the same for all of them. */
  remotes: NonEmpty<RemoteBatch<Request>>;
  /** --parallel: hosts at a time */
  parallel?: number | undefined;
  /** --relay: this side sends the images to the first remote side, which sends them to the others. */
  relay?: RelayOrder | undefined;
}

/** The order that the first host of --relay gets before the images: a push to the other hosts, serialized as JSON. */
export interface RelayOrder {
  /** The names that the images have on the first host, in the order of the transfers. */
  images: NonEmpty<string>;
  /** The addresses of the other hosts, verbatim from the command line. The first host resolves their names. */
  hosts: NonEmpty<string>;
  /** Values of the options of push that concern the images and the hosts, but not this side or its link. */
  options: Readonly<Record<string, unknown>> & { timeout?: number };
}

/** The transfers with one remote side. They share one connection. */
export interface RemoteBatch<Request extends TransferRequest = TransferRequest> {
  connection: Connection;
  /** One for each image, in the order of the command line. */
  transfers: NonEmpty<Request>;
  /** --watch: send each image again when its tag moves, until the command is stopped. */
  watch?: boolean | undefined;
  /** --run: a command that the host's login shell runs when the host has all images. */
  run?: string | undefined;
  /** This side accepts the images that the peer names: the remote script or `pull` without IMAGE has started it. */
  acceptsOthers?: boolean;
}

/** Sends an image. */
export interface PushRequest extends SharedRequest {
  role: "sender";
  source: SourceEngine | FileLocation;
  /** --as: the name of the image at the receiver. If undefined, the receiver chooses it. */
  as?: Reference | undefined;
  /**
   * The name that this side gives to a remote side that it starts itself, or to an engine: --as, or the name in IMAGE. Undefined if the
   * remote command names the image, or if only the archive names it.
   */
  remoteName?: Reference | undefined;
}

/** Receives an image. */
export interface PullRequest extends SharedRequest {
  role: "receiver";
  /** The image's name at the sender. Default: any image that the sender offers. */
  image?: ImageName | undefined;
  /** The first name of the image on this side. Default: the names that the sender gives to it. */
  name?: Reference | undefined;
  /** The sender may give the image further names. */
  acceptsNames?: boolean | undefined;
  /** The sender may choose how many older images to keep. */
  acceptsKeep?: boolean | undefined;
  /** --as, or --to docker-daemon:NAME: the name on this side differs from the name that the sender knows. */
  isRenamed: boolean;
  target: TargetEngine | FileLocation;
  /** The target is a partial archive. */
  partial?: PartialRequest | undefined;
  /** --max-size: maximum bytes of the missing layers, uncompressed */
  maxSize?: number | undefined;
}

/** The options of both sides. */
export interface SharedRequest {
  connection: Connection;
  /** The names of --as except the first one, and those of --tag-also. */
  further?: FurtherNames | undefined;
  /** --keep: number of images of the repository to keep at the receiver, including the one that arrives */
  keep?: number | undefined;
  /** `os/arch[/variant]` */
  platform?: Platform | undefined;
  /** --all-platforms, or several --platform: move the image with its index */
  platforms?: PlatformChoice | undefined;
  /** ms */
  timeout?: number | undefined;
  /** --compress; the sending side's option decides */
  compress?: CompressOption | undefined;
  /** --bwlimit, bytes a second in each direction; 0 is no limit */
  bwlimit?: number | undefined;
  /** --delta; `never` on either side counts for both, otherwise `always` on either side */
  delta?: Delta | undefined;
  /** --preserve-digest; one side is sufficient */
  preserveDigest?: boolean | undefined;
  /** --dry-run: find out what a transfer would do, and send nothing */
  dryRun?: boolean | undefined;
}

/** When missing layers are sent by delta: if that is faster (`auto`), if it is possible, or not at all. */
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
  /** Both sides are in this process: no link is between them, and nothing is packed. `with`: the kind of the other side. */
  | { kind: "in-process"; with: "engine" | "location" };

/** --to of push, --from of pull: the other side is a file or a folder, which this process also opens. */
export interface LocationConnection {
  kind: "location";
  location: FileLocation;
  partial?: PartialRequest | undefined;
}

/** --have: write an archive without the layers that another engine has. */
export interface PartialRequest {
  list: HaveList;
  /** The engine of this side, which may have images of the other engine as delta bases. If undefined, no layer is sent by delta. */
  engine?: Pick<SourceEngine, "endpoint"> | undefined;
}

/** A host or a container that a login reaches. The best program that can run the remote side is found on the host, or sent to it. */
export interface HostConnection {
  kind: "host";
  /** Verbatim from the command line. */
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
  /** An option requests a container or that image: each attempt pulls the image, and sends it from this side if the pull fails. */
  isImageRequested: boolean;
  /** Ask on the terminal before Node is sent, because no option requests it. */
  asksForNode: boolean;
  /** --far-path: remote folders that are searched first */
  paths: readonly string[];
}

/** `ssh://[USER@]HOST[:PORT]`, `docker://CONTAINER` or `kubectl://NAMESPACE/POD[/CONTAINER]` */
export type HostAddress =
  | SshAddress
  | { protocol: "docker"; container: string }
  | { protocol: "kubectl"; namespace: string; pod: string; container?: string };

/** An engine to receive an image. */
export interface TargetEngine {
  kind: "docker-daemon";
  /** The address in -H or DOCKER_HOST; undefined: the docker context decides. */
  endpoint: EngineEndpoint | undefined;
  via: Via;
}

/** An engine, and the image to send. */
export interface SourceEngine {
  kind: "docker-daemon";
  /** Verbatim from the command line. */
  given: string;
  image: ImageName;
  /** The address in -H or DOCKER_HOST; undefined: the docker context decides. */
  endpoint: EngineEndpoint | undefined;
  /** The registry that serves the image. */
  registry: RegistryChoice | { kind: "embedded" };
}

/** Returns whether a person started this side, and reads its progress. */
export function isInitiator({ kind }: Connection): boolean {
  return kind !== "spawned" && kind !== "in-process";
}

/** Returns whether both sides are in this process, without a link between them. */
export function isOneProcess({ kind }: Connection): boolean {
  return kind === "in-process" || kind === "location";
}

/** Returns whether a receiver accepts only one image, because it has a name of its own for it, or a file for one image. */
export function storesOneImage({ target, isRenamed }: Pick<PullRequest, "target" | "isRenamed">): boolean {
  return isRenamed || (target.kind !== "docker-daemon" && (target.kind !== "oci" || target.name !== undefined));
}

/**
 * Builds an image on the remote side: like a pull of an image that is built first. The target is opened and the image received only with
 * `isBroughtBack`.
 */
export interface BuildRequest extends PullRequest {
  build: BuildTask;
}

/** This side's part of a build. */
export interface BuildTask {
  order: BuildOrder;
  /** Undefined if `order.git` names the files. */
  files?: LocalFiles | undefined;
  /** The files, opened when the build has begun. If both sides are in one process, both use them. */
  opened?: Promise<OpenedContext> | undefined;
  /** Secrets that the builder may request, in addition to credentials */
  secrets: readonly SecretSpec[];
  agents: readonly AgentSpec[];
  goal: BuildGoal;
}

export type BuildGoal =
  /** --check: check the Dockerfile, and build nothing */
  | { kind: "check" }
  | {
      kind: "image";
      /** --push: publish the image from the remote side */
      push: boolean;
      /** --load or --to: bring the image back */
      isBroughtBack: boolean;
    };

/** Returns whether a request is that of a build. */
export function isBuild(request: TransferRequest): request is BuildRequest {
  return "build" in request;
}
