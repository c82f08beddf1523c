import type { Readable } from "node:stream";
import type { Platform } from "../image/platform.ts";

/** The images of an engine. */
export interface EngineImages {
  /** Whether `loadImage` with a platform fails for an image that lacks a blob: API 1.48 and later; tested with Docker 28.5 and 29.7. */
  readonly checksLoads: boolean;
  /** By name or ID. Returns undefined when there is no such image (or not for that platform). */
  inspectImage(reference: string, platform?: Platform): Promise<ImageInfo | undefined>;
  /**
   * Lists every reference (`repository:tag`) in the store. `patterns` (Go's path.Match, of the name without its tag) make Docker list
   * only the references that match one of them, which keeps the answer short; Podman ignores them.
   */
  listReferences(patterns?: readonly string[]): Promise<string[]>;
  /** Returns the ID of the newest image with a name in a repository (given without a tag); undefined when there is none. */
  newestOf(repository: string): Promise<string | undefined>;
  /** Lists the names in a repository (given without a tag), each with its image. Podman also lists those of other repositories. */
  listTagged(repository: string): Promise<TaggedImage[]>;
  /**
   * Follows the events of images. Resolves when the engine answers; yields for each event from then on, without saying what has changed, and
   * ends when the engine does. Takes a connection for itself.
   */
  imageEvents(signal: AbortSignal): Promise<AsyncIterable<void>>;
  /** Returns the bytes of all layers in the store; undefined where the engine does not tell. */
  layersSize(): Promise<number | undefined>;
  /** Returns what the engine keeps on its disk. It adds up files for that, which may take minutes: aborting `signal` ends the wait. */
  diskUsage(signal?: AbortSignal): Promise<DiskUsage>;
  /** Lists the IDs of all images, including those without a name and the intermediate images of builds. */
  listImageIds(): Promise<string[]>;
  /** Returns the uncompressed bytes that each build step of an image added, bottom first, including steps that made no layer. */
  stepSizes(reference: string): Promise<number[]>;
  /** Returns the size in the list of images, which differs from inspect: a containerd store lists only complete images. */
  listedSize(reference: string): Promise<number | undefined>;
  /**
   * Loads an archive, which it reads to its end. It reads the whole answer, because a containerd store reports a layer that it cannot
   * unpack in a line after status 200. `platform` makes engines from API 1.48 on check that the image is complete. Aborting does not
   * end a load that has begun; over an engine's only connection, the rest of the archive is left out, and the engine rejects it.
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
  /** Removes a name, and the image with its last name. Succeeds when the name is not there. */
  removeReference(reference: string): Promise<void>;
  /** Removes every `repository@digest` of a repository (named with its host): a graph driver keeps these beside the tags. */
  removeDigestReferences(repository: string): Promise<void>;
}

export interface ImageInfo {
  /** Config digest on graphdriver and Podman; manifest or index digest on a containerd store. */
  id: string;
  /** Its names, each with a tag, as the engine lists them; left out where they are not known. */
  names?: string[];
  /** `RootFS.Layers`: the diff IDs, bottom layer first. The same on every engine. */
  diffIds: string[];
  /** e.g. `linux/arm64/v8`. */
  platform: Platform;
  /** When the image got its last name, ms since the epoch. Podman does not tell. */
  lastTagged?: number;
  /** Bytes, as the engine counts them: unpacked on graphdriver; on a containerd store the size of the blobs, often compressed. */
  size: number;
}

/** Bytes on an engine's disk. */
export interface DiskUsage {
  /** Layers, each once */
  images: number;
  /** The builder's cache, without what images have as well */
  cache: number;
  volumes: number;
  /** What containers have written */
  containers: number;
}

/** A name, `repository:tag`, and its image. */
export interface TaggedImage {
  name: string;
  id: string;
  /** ms since the epoch: when the image was built */
  created: number;
}

export interface Credentials {
  username: string;
  password: string;
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
  /** Layer, as the engine names it: the first 12 hex digits of a digest. Absent for lines about the whole image. */
  id?: string;
  /** In the engine's words: `Downloading`, `Already exists`, `Pushed`, … */
  status: string;
  /** Bytes, where the engine counts them. */
  current?: number;
  total?: number;
}
