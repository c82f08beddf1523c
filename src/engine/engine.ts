import type { Readable } from "node:stream";
import type { ContentStore } from "./content-store.ts";

/** What the rest of the house may ask of a Docker engine. `docker.ts` answers it. */

/** Where images are kept: the classic graph driver, the containerd image store, or Podman's. */
type StoreKind = "graphdriver" | "containerd" | "podman";

export interface EngineInfo {
  /** The engine's version, e.g. `28.5.2`. */
  version: string;
  /** The API version that is spoken, e.g. `1.51`. */
  apiVersion: string;
  store: StoreKind;
  /** The platform that containers run on, e.g. `linux/amd64` (Docker's own spelling of architectures). */
  platform: string;
}

export interface ImageInfo {
  /** Config digest on graphdriver and Podman; manifest or index digest on a containerd store. */
  id: string;
  /** Its names, each with a tag, as the engine lists them; left out where that is not known. */
  names?: string[];
  /** `RootFS.Layers`: the uncompressed digests, bottom layer first. The same on every engine. */
  diffIds: string[];
  /** e.g. `linux/arm64/v8`. */
  platform: string;
  /** Bytes, as the engine counts them: unpacked on graphdriver; on a containerd store what its blobs take, often compressed. */
  size: number;
}

export interface Credentials {
  username: string;
  password: string;
}

/** One line of the progress that the engine reports while it pushes or pulls. */
export interface EngineProgress {
  /** Layer, as the engine names it: the first 12 hex digits of a digest. Absent for lines about the whole image. */
  id?: string;
  /** In the engine's words: `Downloading`, `Already exists`, `Pushed`, … */
  status: string;
  /** Bytes, where the engine counts them. */
  current?: number;
  total?: number;
}

export interface TransferOptions {
  credentials?: Credentials;
  /** `os/arch[/variant]`. */
  platform?: string;
  signal?: AbortSignal;
  onProgress?: (progress: EngineProgress) => void;
}

export interface ContainerSpec {
  image: string;
  labels: Record<string, string>;
  env: Record<string, string>;
  /** A TCP port of the container to be published on 127.0.0.1, on a port that the engine picks. */
  port: number;
  /** Files to be there before it starts: absolute path -> content. Kept out of argv, environment and labels. */
  files: Record<string, string>;
  signal?: AbortSignal;
}

export interface RunningContainer {
  id: string;
  /** The published port on 127.0.0.1 of the engine's host. */
  port: number;
  /** Settles when the container stops; never rejects. The status is -1 when nobody can tell: it was removed, or the engine is gone. */
  exited: Promise<{ status: number }>;
  /** The end of what it printed, stdout and stderr together, at most `maxBytes`. */
  logs(maxBytes?: number): Promise<string>;
  /** Stops and removes it with its anonymous volumes. Does not fail when it is gone already. */
  remove(): Promise<void>;
}

export interface FoundContainer {
  id: string;
  labels: Record<string, string>;
}

/** The files of an image, readable until this is disposed of. */
export interface ImageFiles extends AsyncDisposable {
  /** A tar of all that is in a folder (an absolute path), for one `for await`; undefined when there is no such folder. */
  read(folder: string): Promise<AsyncIterable<Buffer> | undefined>;
}

/**
 * A Docker-compatible engine. Every method rejects with a `Failure` whose code is
 * `engine-unreachable` when the engine cannot be talked to, `no-space` when its disk is full,
 * and with an `EngineError` when it answers that it will not do the thing. When the signal that it was opened with is
 * aborted, it rejects with its reason, but for what removes something, which works on; nothing goes on for ever then.
 */
export interface Engine extends AsyncDisposable {
  /** For messages: where it is and why that one, e.g. `unix:///var/run/docker.sock (context default)`. */
  readonly address: string;
  /** Bytes that have gone to it and come from it in what it has worked on so far: it gets on as long as they become more. */
  readonly moved: number;
  /** Whether what listens on 127.0.0.1 here can be what the engine finds there. Nothing of ours is shown to another machine's. */
  readonly reachesUs: boolean;
  /** Whether it refuses itself to load an image for a platform of which a blob is missing: Docker 28.5 and 29.7 were run. */
  readonly checksLoads: boolean;
  /** False where all requests go through one connection, and wait for each other. */
  readonly takesManyAtOnce: boolean;
  info(): Promise<EngineInfo>;
  /** By name or ID. `undefined` when there is no such image (or not for that platform). */
  inspectImage(reference: string, platform?: string): Promise<ImageInfo | undefined>;
  /**
   * Every reference (`repository:tag`) in the store; of Docker only those that fit one of `patterns` (Go's path.Match, of the name without
   * its tag), which spares it a look at all its images, and the link what they are.
   */
  listReferences(patterns?: readonly string[]): Promise<string[]>;
  /** ID of the youngest image that has a name in a repository (without a tag); undefined when none has. */
  newestOf(repository: string): Promise<string | undefined>;
  /** IDs of all images, those without a name and the steps of builds included. */
  listImageIds(): Promise<string[]>;
  /** Uncompressed sizes of what the steps of an image added, bytes, bottom first; also of those that made no layer. */
  stepSizes(reference: string): Promise<number[]>;
  /**
   * The config, byte for byte, of an image in a graph driver, where its ID is its digest. `name` as engines list it, with a tag;
   * `version` as {@link EngineInfo} has it. Undefined when the engine does not tell it, or not of that image.
   */
  readConfig(image: { name: string; id: string }, version: string, signal: AbortSignal): Promise<Buffer | undefined>;
  /**
   * The blobs of a containerd store; undefined where the engine does not give them: it is another store, or older, or there is a
   * proxy in between. Where the engine is behind a program's stdin and stdout, this may run that once more.
   */
  contentStore(): Promise<ContentStore | undefined>;
  /** As the list of images has it, and not as inspect has it: a containerd store lists only what it holds whole. */
  listedSize(reference: string): Promise<number | undefined>;
  /**
   * Loads an archive, which it reads to its end. The whole answer is read: a containerd store reports what it could not
   * unpack in a line behind status 200. `platform` makes engines from API 1.48 on check that the image is complete.
   * A load that has begun ends by itself: when the signal that the engine was opened with is aborted, the rest of an archive
   * that goes over an engine's only connection is left out, and the engine refuses what is cut short.
   */
  loadImage(archive: Readable, platform?: string): Promise<void>;
  /** An image as `docker save` writes it. The caller reads it to its end, or destroys it. */
  saveImage(reference: string, options?: { platform?: string; signal?: AbortSignal }): Promise<Readable>;
  /**
   * Takes a reference with a tag or a digest. Whether the image is of the platform that was asked for is to be looked at
   * afterwards: 20.10 and containerd stores take a single-platform image of another one without a word.
   */
  pullImage(reference: string, options?: TransferOptions): Promise<void>;
  pushImage(reference: string, options?: TransferOptions): Promise<void>;
  tagImage(source: string, target: string): Promise<void>;
  /** Removes the name only, or the image with its last name. Does not fail when it is not there. */
  removeReference(reference: string): Promise<void>;
  /** Removes every `repository@digest` of a repository (named with its host): a graph driver keeps such beside the tags. */
  removeDigestReferences(repository: string): Promise<void>;
  runContainer(spec: ContainerSpec): Promise<RunningContainer>;
  /** Opens an image's files, without running anything of it. `labels` are what it is found by if this process is killed. */
  openFiles(image: string, labels: Record<string, string>, signal?: AbortSignal): Promise<ImageFiles>;
  findContainers(label: string): Promise<FoundContainer[]>;
  /** Stops and removes a container with its anonymous volumes. Does not fail when it is gone already. */
  removeContainer(id: string): Promise<void>;
}
