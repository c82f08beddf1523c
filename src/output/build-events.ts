/** The events of `build`. Times are ms since 1970 on the builder's clock; `step` identifies a step in its build. */
export type BuildOutputEvent =
  /** Something of a step has changed. It comes with all that is known. */
  | ({ type: "build-step" } & BuildStep)
  /** Progress inside a step, e.g. of a layer that is downloaded. */
  | ({ type: "build-progress" } & BuildProgress)
  /** What a step prints, as it prints it: lines may be cut anywhere. */
  | ({ type: "build-log" } & BuildLogText)
  /** A builder without steps prints this: the classic one, or Podman's. */
  | { type: "build-text"; text: string }
  /** The builder advises against something in the Dockerfile. */
  | ({ type: "build-warning" } & BuildWarning)
  /** The builder has made the image. What follows is its push, or its way back. */
  | { type: "build-done"; id: string }
  /** Where in the Dockerfile a build has failed. */
  | ({ type: "build-source" } & BuildSource)
  /** The image is built, and it is wherever it was to go. The last event of a build that has succeeded. */
  | ({ type: "built" } & Built);

export interface BuildStep {
  step: string;
  /** e.g. `[build 2/4] RUN make` */
  name: string;
  started?: number | undefined;
  completed?: number | undefined;
  isCached?: boolean | undefined;
  error?: string | undefined;
}

export interface BuildProgress {
  step: string;
  id: string;
  /** Bytes; 0 where the builder does not count */
  current: number;
  total: number;
  started?: number | undefined;
  completed?: number | undefined;
}

export interface BuildLogText {
  step: string;
  stream: "stdout" | "stderr";
  text: string;
  /** When it was printed */
  at?: number | undefined;
}

export interface BuildWarning {
  text: string;
  details: readonly string[];
  url?: string | undefined;
}

export interface BuildSource {
  /** The path of the Dockerfile, as it was given */
  dockerfile: string;
  /** The lines that failed and some around them */
  lines: readonly BuildSourceLine[];
}

export interface BuildSourceLine {
  /** From 1 on */
  number: number;
  text: string;
  hasFailed: boolean;
}

/** What `build --check` has found. */
export interface CheckedDockerfile {
  /** The warnings in the builder's words; empty without any */
  text: string;
  /** Number of warnings */
  count: number;
  /** The error at which the check has ended */
  error?: string;
}

export interface Built {
  /** As they were given to -t; empty for an image without a name */
  names: readonly string[];
  /** The image's ID in the engine that built it */
  id: string;
  /** Digest of its manifest, where it was pushed or the engine knows it */
  digest?: string;
  /** Bytes of its layers, uncompressed, where the engine tells */
  size?: number;
  /** Bytes that went through the connection for the context */
  contextBytes: number;
  /** Durations, ms */
  ms: BuiltMs;
}

export interface BuiltMs {
  total: number;
  /** Reading and sending the context */
  context: number;
  build: number;
  /** --push */
  push?: number;
  /** --load, --to: bringing the image back */
  load?: number;
}

/** Shows the events of a build to people. */
export interface BuildDisplay {
  event(event: BuildOutputEvent): void;
  /** Runs `print`, which writes lines that stay, above what is drawn. */
  above(print: () => void): void;
  /** The build is over. Prints what stays: of a failed build the log of its step. Has no effect the second time. */
  finish(outcome: "built" | "failed" | "stopped"): void;
}
