import type { Duplex } from "node:stream";
import type { BuildContext } from "../build-context/build-context.ts";
import type { Platform } from "../image/platform.ts";
import type { BuildLogText, BuildProgress, BuildStep, BuildWarning } from "../output/build-events.ts";
import type { Credentials } from "./credentials.ts";
import type { EngineProgress } from "./engine-images.ts";

/** The builder of an engine, and its cache. */
export interface EngineBuilder {
  /** Returns the builder that {@link build} uses. */
  builder(): Promise<BuilderKind>;
  /**
   * Builds an image from a context and gives it its names. Aborting `signal` ends the build in the engine. Rejects with a Failure
   * `build-failed`, which names the step and its last lines, and with `usage` for options that this engine's builder does not support.
   *
   * @param context undefined where `order.git` names it
   */
  build(order: BuildOrder, context: BuildContext | undefined, options: BuildOptions): Promise<BuiltImage>;
  /**
   * Checks the Dockerfile of an order, and builds nothing. Rejects with a Failure `usage` if the engine's builder cannot check, with
   * `build-failed` for a Dockerfile that it cannot read, and with `not-buildable` if there is no Dockerfile.
   *
   * @param context undefined if `order.git` is set. It need only contain the Dockerfile and its ignore file.
   */
  check(order: BuildOrder, context: BuildContext | undefined, options: CheckOptions): Promise<CheckedBuild>;
  /**
   * Pushes an image to the registry in its name, with the credentials of `answers`. Rejects with a Failure `push-refused` if the registry
   * refuses it, or if the engine cannot reach the registry.
   */
  publish(reference: string, options: PublishOptions): Promise<PublishedImage>;
  /** Reduces the builder's cache to `keep` bytes; removes the least recently used records first. Returns the number of freed bytes. */
  pruneBuildCache(keep: number): Promise<number>;
}

/** BuildKit, the classic builder of engines without BuildKit, or buildah, the builder of Podman. */
export type BuilderKind = "buildkit" | "classic" | "buildah";

/** The options of a build, with the names of `docker build`. Sent through the tunnel as JSON. */
export interface BuildOrder {
  /** -t: references, verbatim. May be empty. */
  names: readonly string[];
  /** The address of a git repository that the engine clones (the parameter `remote` of `POST /build`), instead of a context */
  git?: string | undefined;
  /**
   * Whether the context comes from an archive. BuildKit treats a file as unchanged if its size and time are those of the previous one
   * (fsutil's diff). The times in an archive are arbitrary, so two archives may differ in contents alone, and BuildKit gets the whole
   * context.
   */
  isArchive?: boolean | undefined;
  /** -f: the path of the Dockerfile in the context, in UTF-8 */
  dockerfile: string;
  target?: string | undefined;
  buildArgs: Readonly<Record<string, string>>;
  labels: Readonly<Record<string, string>>;
  platform?: Platform | undefined;
  noCache: boolean;
  /** --pull: whether to look for newer bases */
  pull: boolean;
  cacheFrom: readonly string[];
  /** default, none, host */
  network?: string | undefined;
  /**
   * The memory limit of each step in bytes, including swap. A step that exceeds it is killed. BuildKit does not accept such a limit in
   * `POST /build`, see {@link BuildOptions.builder}.
   */
  memory?: number | undefined;
  /** The number of processors that a step may use, e.g. 0.5. The same restriction as for `memory` applies */
  cpus?: number | undefined;
  /** The IDs of --secret */
  secrets: readonly string[];
  /** The IDs of --ssh */
  agents: readonly string[];
  /** Lets the builder find an earlier context that this one resembles. Equal for all builds of a project. */
  contextKey: string;
  /**
   * Identifies the folder of the context. BuildKit treats a file as unchanged if its size and time are those of the previous one. Two
   * checkouts of a project may have such files with different contents. Default: the context key
   */
  contextPlace?: string | undefined;
}

export interface BuildOptions {
  answers: BuildAnswers;
  onEvent: (event: BuildEvent) => void;
  signal: AbortSignal;
  /**
   * Whether BuildKit compares the context with the previous one and requests the changed files, instead of receiving all files as a tar.
   * Default: true unless the engine is behind a single connection
   */
  syncsFiles?: boolean | undefined;
  /**
   * Default: the result of {@link EngineBuilder.builder}, or for an order with a limit of memory or cpus Docker's classic builder, which
   * every Docker has in addition to BuildKit. With BuildKit, such an order rejects with a Failure `usage`.
   */
  builder?: BuilderKind | undefined;
}

export type CheckOptions = Pick<BuildOptions, "answers" | "signal">;

/** The findings of a check of a Dockerfile. */
export interface CheckedBuild {
  /** The warnings of the builder, verbatim. "" if there are none */
  text: string;
  /** The number of warnings */
  count: number;
  /** The error that ended the check, e.g. an unknown instruction. Later lines were not checked. */
  error?: string | undefined;
}

export interface PublishOptions {
  answers: Pick<BuildAnswers, "credentials">;
  signal: AbortSignal;
  onProgress?: ((progress: EngineProgress) => void) | undefined;
}

export interface PublishedImage {
  /** The manifest's digest, if the engine reports it */
  digest?: string | undefined;
}

/** The answers to a builder's requests during a build. They come from the user's side. */
export interface BuildAnswers {
  /**
   * Returns the user's credentials for a registry; undefined if there are none. @param host as in the docker config, e.g.
   * `registry.example.com:5000` or `https://index.docker.io/v1/`
   */
  credentials(host: string): Promise<Credentials | undefined>;
  /** Returns a secret of `BuildOrder.secrets` */
  secret(id: string): Promise<Buffer | undefined>;
  /** Opens a connection to an ssh agent of `BuildOrder.agents`. The caller owns it. */
  agent(id: string): Promise<Duplex>;
}

export interface BuiltImage {
  /** The engine's image ID */
  id: string;
  /** Bytes of the files that the engine requested; undefined if it got the context as a tar */
  served?: number | undefined;
}

/** An event of a build. Times are in ms since 1970. */
export type BuildEvent =
  /** A step of BuildKit, with all its properties. Emitted each time one of them changes. */
  | ({ type: "step" } & BuildStep)
  /** Progress inside a step, e.g. a layer that is downloaded. */
  | ({ type: "step-progress" } & BuildProgress)
  /** Output of a step. It may contain control sequences, and lines may be cut anywhere. */
  | ({ type: "step-log" } & BuildLogText)
  | ({ type: "build-warning" } & BuildWarning)
  /** Output of a builder without steps: the classic builder or buildah. */
  | { type: "build-text"; text: string };
