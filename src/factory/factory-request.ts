import type { ContextLimits } from "../build-context/limits.ts";
import type { EngineEndpoint } from "../engine/connect/endpoint.ts";
import type { BuildOrder } from "../engine/engine-builds.ts";
import type { Reference } from "../image/reference.ts";
import type { NamePattern } from "./forced/name-patterns.ts";

/** A build of an archive on stdin, by the engine of this machine. */
export interface FactoryRequest {
  /** NAME, with a tag */
  name: Reference;
  /** --push: the image's name in the registry that it is published in */
  published?: Reference | undefined;
  /** -f; left out: what the archive has at its root decides */
  dockerfile?: string | undefined;
  order: Pick<BuildOrder, "target" | "buildArgs" | "labels" | "platform" | "noCache" | "pull">;
  /** The image that a tree of scripts is built from */
  base: string;
  /** --strip */
  strip: number;
  limits: Partial<ContextLimits>;
  /** --keep: images that stay, for each repository */
  keep?: number | undefined;
  /** --allow: of a key that may build these names alone. No other is removed by --keep. */
  allow?: readonly NamePattern[] | undefined;
  /** --cache-limit, bytes */
  cacheLimit?: number | undefined;
  /** --jobs: builds at the same time, of all names */
  jobs?: number | undefined;
  /** --latest: ends builds of this name that came before */
  isLatest: boolean;
  /** --max-time, ms: of the build, without the waiting */
  maxTime: number;
  /** --timeout, ms */
  timeout?: number | undefined;
  /** The address in -H or DOCKER_HOST; undefined: the docker context decides. */
  endpoint: EngineEndpoint | undefined;
  /** The report for people goes to stdout, a line for each fact. Not with --json: there it is an event. */
  printsReport: boolean;
}
