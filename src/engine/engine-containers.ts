/** The containers of an engine, and their volumes. */
export interface EngineContainers {
  runContainer(spec: ContainerSpec): Promise<RunningContainer>;
  /** Opens an image's files without running anything of it. `labels` identify what a killed process leaves behind. */
  openFiles(image: string, labels: Record<string, string>, signal?: AbortSignal): Promise<ImageFiles>;
  /** Lists the containers with a label, stopped ones included. */
  findContainers(label: string): Promise<FoundContainer[]>;
  /** Returns the images of all containers, stopped ones included: their IDs, and in full the names that the containers were created by. */
  usedImages(): Promise<Set<string>>;
  /** Stops and removes a container with its anonymous volumes. Succeeds when it is gone already. */
  removeContainer(id: string): Promise<void>;
  /** Lists the names of the volumes with a label. */
  findVolumes(label: string): Promise<string[]>;
  /** Removes a volume, and returns true. Returns false when a container uses it, running or not. */
  removeVolume(name: string): Promise<boolean>;
}

export interface ContainerSpec {
  image: string;
  labels: Record<string, string>;
  env: Record<string, string>;
  /** A TCP port of the container, published on 127.0.0.1, on a port that the engine picks. */
  port: number;
  /** Files that the container finds at its start: absolute path -> content. They appear in no argv, environment or label. */
  files: Record<string, string>;
  signal?: AbortSignal;
}

export interface RunningContainer {
  id: string;
  /** The published port on 127.0.0.1 of the engine's host. */
  port: number;
  /** Settles when the container stops; never rejects. The status is -1 when it is unknown: the container was removed, or the engine is gone. */
  exited: Promise<{ status: number }>;
  /** Returns the end of its output, stdout and stderr together, at most `maxBytes`. */
  logs(maxBytes?: number): Promise<string>;
  /** Stops and removes it with its anonymous volumes. Succeeds when it is gone already. */
  remove(): Promise<void>;
}

export interface FoundContainer {
  id: string;
  labels: Record<string, string>;
  isRunning: boolean;
}

/** The files of an image. Disposing closes them. */
export interface ImageFiles extends AsyncDisposable {
  /** Returns a tar of a folder (an absolute path), for one `for await`; undefined when there is no such folder. */
  read(folder: string): Promise<AsyncIterable<Buffer> | undefined>;
}
