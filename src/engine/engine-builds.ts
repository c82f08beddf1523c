import type { Duplex } from "node:stream";
import type { BuildContext } from "../build-context/build-context.ts";
import type { Platform } from "../image/platform.ts";
import type { EngineProgress } from "./engine-images.ts";

/** The builds of an engine. */
export interface EngineBuilds {
  /** Returns the builder that {@link build} uses. */
  builder(): Promise<BuilderKind>;
  /**
   * Builds an image of a context and gives it its names. Aborting `signal` ends the build in the engine. Rejects with a Failure
   * `build-failed`, which names the step and its last lines, and with `usage` for what this engine's builder cannot do.
   *
   * @param context undefined where `order.git` names it
   */
  build(order: BuildOrder, context: BuildContext | undefined, options: BuildOptions): Promise<BuiltImage>;
  /**
   * Checks the Dockerfile of an order, and builds nothing. Rejects with a Failure `usage` where the engine's builder does not check, with
   * `build-failed` for a Dockerfile that it cannot read, and with `not-buildable` where there is none.
   *
   * @param context undefined where `order.git` names it. The Dockerfile and its ignore file are enough.
   */
  check(order: BuildOrder, context: BuildContext | undefined, options: CheckOptions): Promise<CheckedBuild>;
  /**
   * Pushes an image to the registry in its name, with the credentials of `answers`. Rejects with a Failure `push-refused` when the registry does
   * not take it, or cannot be reached from the engine.
   */
  publish(reference: string, options: PublishOptions): Promise<PublishedImage>;
  /** Removes what was used least recently of the builder's cache, down to so many bytes. Returns the bytes that are free again. */
  pruneBuildCache(keep: number): Promise<number>;
  /** Removes the images without a name that have a label, e.g. `key=value`, and that no container uses. Returns the bytes that are free again. */
  removeDangling(label: string): Promise<number>;
}

/** BuildKit; the classic builder, where an engine has no BuildKit; Podman's, which is buildah. */
export type BuilderKind = "buildkit" | "classic" | "buildah";

/** What to build, in the words of `docker build`. It crosses the tunnel as JSON. */
export interface BuildOrder {
  /** -t: references, as they were given. May be empty. */
  names: readonly string[];
  /** The address of a git repository that the engine clones (the parameter `remote` of `POST /build`), in place of a context */
  git?: string | undefined;
  /**
   * The context comes from an archive: two of them may differ in contents alone, as the times in it are those that its maker chose. BuildKit takes a
   * file for unchanged that has the size and the time of the one before (fsutil's diff), so it gets the whole context.
   */
  isArchive?: boolean | undefined;
  /** -f: the path of the Dockerfile in the context, in UTF-8 */
  dockerfile: string;
  target?: string | undefined;
  buildArgs: Readonly<Record<string, string>>;
  labels: Readonly<Record<string, string>>;
  platform?: Platform | undefined;
  noCache: boolean;
  /** --pull: look for newer bases */
  pull: boolean;
  cacheFrom: readonly string[];
  /** default, none, host */
  network?: string | undefined;
  /** Bytes of memory of each step, swap included: what takes more is killed. BuildKit takes no such limit from `POST /build`, see {@link BuildOptions.builder}. */
  memory?: number | undefined;
  /** Processors that a step may use, e.g. 0.5. As for `memory` */
  cpus?: number | undefined;
  /** The IDs of --secret */
  secrets: readonly string[];
  /** The IDs of --ssh */
  agents: readonly string[];
  /** Tells the builder which of its earlier contexts this one resembles: the same for all builds of a project. */
  contextKey: string;
  /**
   * Identifies the folder that the context is in. BuildKit takes a file for unchanged that has the size and the time of the one before it: two
   * checkouts of a project may have such files, with other contents. Left out: the context key
   */
  contextPlace?: string | undefined;
}

export interface BuildOptions {
  answers: BuildAnswers;
  onEvent: (event: BuildEvent) => void;
  signal: AbortSignal;
  /**
   * Whether BuildKit compares the context with the one before, and asks for the files that have changed, instead of getting all as a tar. By
   * default it does where the engine is not behind a single connection.
   */
  syncsFiles?: boolean | undefined;
  /**
   * By default, {@link EngineBuilds.builder}'s; for an order with a limit of memory or cpus, Docker's classic builder, which every Docker has beside
   * BuildKit. With BuildKit, such an order rejects with a Failure `usage`.
   */
  builder?: BuilderKind | undefined;
}

export type CheckOptions = Pick<BuildOptions, "answers" | "signal">;

/** What the check of a Dockerfile has found. */
export interface CheckedBuild {
  /** The warnings, in the builder's words. Empty without any */
  text: string;
  /** Number of warnings */
  count: number;
  /** The error at which the check has ended, e.g. an unknown instruction: after it, nothing was checked. */
  error?: string | undefined;
}

export interface PublishOptions {
  answers: Pick<BuildAnswers, "credentials">;
  signal: AbortSignal;
  onProgress?: ((progress: EngineProgress) => void) | undefined;
}

export interface PublishedImage {
  /** The manifest's digest, where the engine tells it */
  digest?: string | undefined;
}

/** What a builder may ask for while it builds. It comes from the side of the user. */
export interface BuildAnswers {
  /** The user's credentials for a registry; undefined: none. @param host as in the docker config, e.g. `registry.example.com:5000` or `https://index.docker.io/v1/` */
  credentials(host: string): Promise<Credentials | undefined>;
  /** A secret of `BuildOrder.secrets` */
  secret(id: string): Promise<Buffer | undefined>;
  /** Opens a connection to an ssh agent of `BuildOrder.agents`. The caller owns it. */
  agent(id: string): Promise<Duplex>;
}

export interface Credentials {
  /** "<token>": the password is an identity token (docker-credential-helpers) */
  username: string;
  password: string;
}

export interface BuiltImage {
  /** The engine's image ID */
  id: string;
  /** Bytes of the files that the engine asked for; undefined where it got the context as a tar */
  served?: number | undefined;
}

/** What a build tells of itself. Times are ms since 1970. */
export type BuildEvent =
  /** A step of BuildKit. Comes each time something of it changes, with all that is known. */
  | {
      type: "step";
      /** Identifies the step in this build */
      step: string;
      /** e.g. `[build 2/4] RUN make` */
      name: string;
      started?: number | undefined;
      completed?: number | undefined;
      isCached?: boolean | undefined;
      error?: string | undefined;
    }
  /** Progress inside a step, e.g. a layer that is downloaded. */
  | {
      type: "step-progress";
      step: string;
      id: string;
      /** Bytes; 0 where the builder does not count */
      current: number;
      total: number;
      started?: number | undefined;
      completed?: number | undefined;
    }
  /** What a step prints. The bytes of a terminal; lines may be cut anywhere. */
  | { type: "step-log"; step: string; stream: "stdout" | "stderr"; text: string; at?: number | undefined }
  | { type: "build-warning"; text: string; details: readonly string[]; url?: string | undefined }
  /** What a builder without steps prints: the classic one, buildah. */
  | { type: "build-text"; text: string };
