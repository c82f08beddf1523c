/** The containers of an engine, and their volumes. */
export interface EngineContainers {
  runContainer(spec: ContainerSpec): Promise<RunningContainer>;
  /** Opens an image's files without running the image. `labels` identify the container that a killed process leaves behind. */
  openFiles(image: string, labels: Record<string, string>, signal?: AbortSignal): Promise<ImageFiles>;
  /** Lists the containers with a label, including stopped ones. */
  findContainers(label: string): Promise<FoundContainer[]>;
  /** Returns the images of all containers, including stopped ones: the IDs, and the full names that the containers were created from. */
  usedImages(): Promise<Set<string>>;
  /** Stops and removes a container with its anonymous volumes. Succeeds if it no longer exists. */
  removeContainer(id: string): Promise<void>;
  /** Lists the names of the volumes with a label. */
  findVolumes(label: string): Promise<string[]>;
  /** Removes a volume, and returns true. Returns false if a container uses it, running or not. */
  removeVolume(name: string): Promise<boolean>;
}

export interface ContainerSpec {
  image: string;
  labels: Record<string, string>;
  env: Record<string, string>;
  /** A TCP port of the container, published on 127.0.0.1, on a port that the engine picks. */
  port: number;
  /** Files to create before the container starts: absolute path -> content. They appear in no argv, environment or label. */
  files: Record<string, string>;
  signal?: AbortSignal;
}

export interface RunningContainer {
  id: string;
  /** The published port on 127.0.0.1 of the engine's host. */
  port: number;
  /**
   * Resolves when the container stops; never rejects. The status is -1 if it is unknown, because the container was removed or the engine is
   * lost.
   */
  exited: Promise<{ status: number }>;
  /** Returns the end of its output, stdout and stderr together, at most `maxBytes`. */
  logs(maxBytes?: number): Promise<string>;
  /** Stops and removes the container with its anonymous volumes. Succeeds if it no longer exists. */
  remove(): Promise<void>;
}

export interface FoundContainer {
  id: string;
  labels: Record<string, string>;
  isRunning: boolean;
}

/** The files of an image. Disposing closes them. */
export interface ImageFiles extends AsyncDisposable {
  /** Returns a tar of a folder (an absolute path), for one `for await`; undefined if the folder does not exist. */
  read(folder: string): Promise<AsyncIterable<Buffer> | undefined>;
}
