import type { Readable } from "node:stream";
import type { Platform } from "../image/platform.ts";
import type { Credentials } from "./credentials.ts";

/** The images of an engine. */
export interface EngineImages {
  /** Whether `loadImage` with a platform fails for an image that lacks a blob. True from API 1.48 on; tested with Docker 28.5 and 29.7. */
  readonly checksLoads: boolean;
  /** Inspects an image by name or ID. Returns undefined if it does not exist, or not for that platform. */
  inspectImage(reference: string, platform?: Platform): Promise<ImageInfo | undefined>;
  /**
   * Lists every reference (`repository:tag`) in the store. `patterns` (Go's path.Match, of the name without its tag) limit Docker's answer
   * to the references that match one of them. Podman ignores them.
   */
  listReferences(patterns?: readonly string[]): Promise<string[]>;
  /** Returns the ID of the newest image with a name in a repository (given without a tag); undefined if there is none. */
  newestOf(repository: string): Promise<string | undefined>;
  /** Lists the names in a repository (given without a tag), each with its image. Podman also lists the names of other repositories. */
  listTagged(repository: string): Promise<TaggedImage[]>;
  /**
   * Follows the events of images. Resolves when the engine answers. From then on, yields for each event, without its content, and ends when
   * the engine does. Needs a connection of its own.
   */
  imageEvents(signal: AbortSignal): Promise<AsyncIterable<void>>;
  /** Returns the bytes of all layers in the store; undefined if the engine does not report them. */
  layersSize(): Promise<number | undefined>;
  /** Returns the engine's disk usage. The engine adds up files, which may take minutes. Aborting `signal` ends the wait. */
  diskUsage(signal?: AbortSignal): Promise<DiskUsage>;
  /** Lists the IDs of all images, including those without a name and the intermediate images of builds. */
  listImageIds(): Promise<string[]>;
  /** Returns the uncompressed bytes that each build step of an image added, bottom first, including steps without a layer. */
  stepSizes(reference: string): Promise<number[]>;
  /** Returns the size in the list of images, which differs from inspect: a containerd store lists only complete images. */
  listedSize(reference: string): Promise<number | undefined>;
  /**
   * Loads an archive. Reads it to its end, and also reads the whole answer, because a containerd store reports a layer that it cannot
   * unpack in a line after status 200. With `platform`, engines from API 1.48 on check that the image is complete. Aborting does not end a
   * load that has begun. Over an engine's only connection, it truncates the archive, which the engine then rejects.
   */
  loadImage(archive: Readable, platform?: Platform, onProgress?: (progress: EngineProgress) => void): Promise<void>;
  /** Returns an image as `docker save` writes it. The caller reads the stream to its end, or destroys it. */
  saveImage(reference: string, options?: { platform?: Platform; signal?: AbortSignal }): Promise<Readable>;
  /**
   * Pulls a reference with a tag or a digest. The caller checks the platform afterwards: 20.10 and containerd stores accept a
   * single-platform image for another platform without an error.
   */
  pullImage(reference: string, options?: ImageTransferOptions): Promise<void>;
  pushImage(reference: string, options?: ImageTransferOptions): Promise<void>;
  tagImage(source: string, target: string): Promise<void>;
  /** Removes a name, and the image with its last name. Succeeds if the name does not exist. */
  removeReference(reference: string): Promise<void>;
  /** Removes every `repository@digest` of a repository (named with its host), which a graph driver stores in addition to the tags. */
  removeDigestReferences(repository: string): Promise<void>;
  /** Removes the untagged images that have a label, e.g. `key=value`, and that no container uses. Returns the number of freed bytes. */
  removeUntagged(label: string): Promise<number>;
}

export interface ImageInfo {
  /** Config digest on graphdriver and Podman; manifest or index digest on a containerd store. */
  id: string;
  /** Its names, each with a tag, as the engine lists them. Undefined if they are not known. */
  names?: string[];
  /** `RootFS.Layers`: the diff IDs, bottom layer first. The same on every engine. */
  diffIds: string[];
  /** e.g. `linux/arm64/v8`. */
  platform: Platform;
  /** The time when the image got its last name, in ms since the epoch. Podman does not report it. */
  lastTagged?: number;
  /** The time of the image's build, in ms since the epoch. A list of images has only its seconds. */
  created?: number;
  /**
   * Bytes, as the engine counts them: the unpacked size with a graph driver, the size of the blobs, often compressed, in a containerd
   * store.
   */
  size: number;
}

/** Bytes on an engine's disk. */
export interface DiskUsage {
  /** All layers, each counted once */
  images: number;
  /** The builder's cache, without layers that images share */
  cache: number;
  volumes: number;
  /** Files that containers have written */
  containers: number;
}

/** A name, `repository:tag`, and its image. */
export interface TaggedImage {
  name: string;
  id: string;
  /** The time of the image's build, in ms since the epoch */
  created: number;
}

export interface ImageTransferOptions {
  credentials?: Credentials;
  /** `os/arch[/variant]`. */
  platform?: Platform;
  signal?: AbortSignal;
  onProgress?: (progress: EngineProgress) => void;
}

/** A progress line that the engine reports during a push, pull or load. */
export interface EngineProgress {
  /** The engine's name of the layer: the first 12 hex digits of a digest. Undefined for lines about the whole image. */
  id?: string;
  /** The status of the engine, verbatim: `Downloading`, `Already exists`, `Pushed`, … */
  status: string;
  /** Bytes, if the engine counts them. */
  current?: number;
  total?: number;
}
