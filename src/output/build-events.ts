/** The events of `build`. Times are ms since 1970 on the builder's clock; `step` identifies a step in its build. */
export type BuildOutputEvent =
  /** A step has changed. The event contains all known fields of the step. */
  | ({ type: "build-step" } & BuildStep)
  /** Progress inside a step, e.g. of a layer that is downloaded. */
  | ({ type: "build-progress" } & BuildProgress)
  /** Verbatim output of a step. A line may be split anywhere. */
  | ({ type: "build-log" } & BuildLogText)
  /** Output of a builder without steps: the classic one, or Podman's. */
  | { type: "build-text"; text: string }
  /** The builder advises against something in the Dockerfile. */
  | ({ type: "build-warning" } & BuildWarning)
  /** The builder has created the image. Next, the image is pushed or brought back. */
  | { type: "build-done"; id: string }
  /** The place in the Dockerfile where a build failed. */
  | ({ type: "build-source" } & BuildSource)
  /** The image is built, and has reached its destination. The last event of a successful build. */
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
  /** Bytes; 0 if the builder does not count them */
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
  /** The path of the Dockerfile, verbatim from the command line */
  dockerfile: string;
  /** The lines that failed, and some lines of context */
  lines: readonly BuildSourceLine[];
}

export interface BuildSourceLine {
  /** Counted from 1 */
  number: number;
  text: string;
  hasFailed: boolean;
}

/** The findings of `build --check`. */
export interface CheckedDockerfile {
  /** The warnings in the builder's words; empty if there are none */
  text: string;
  /** Number of warnings */
  count: number;
  /** The error that ended the check */
  error?: string;
}

export interface Built {
  /** The arguments of -t, verbatim; empty for an image without a name */
  names: readonly string[];
  /** The image's ID in the engine that built it */
  id: string;
  /** Digest of its manifest, if it was pushed or the engine knows it */
  digest?: string;
  /** Bytes of its layers, uncompressed, if the engine reports them */
  size?: number;
  /** Bytes sent through the connection for the context */
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
  /** Runs `print`, which writes permanent lines, above the drawn area. */
  above(print: () => void): void;
  /** Ends the display. Prints the permanent lines: of a failed build, the log of the failed step. A second call has no effect. */
  finish(outcome: "built" | "failed" | "stopped"): void;
}
