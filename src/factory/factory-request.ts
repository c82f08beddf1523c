import type { ContextLimits } from "../build-context/limits.ts";
import type { EngineEndpoint } from "../engine/connect/endpoint.ts";
import type { BuildOrder } from "../engine/engine-builder.ts";
import type { Reference } from "../image/reference.ts";
import type { NamePattern } from "./forced/name-patterns.ts";

/** A build of an archive on stdin, by the engine of this machine. */
export interface FactoryRequest {
  /** NAME, with a tag */
  name: Reference;
  /** --push: the image's name in the registry to which it is published */
  published?: Reference | undefined;
  /** -f. Default: the files at the root of the archive decide */
  dockerfile?: string | undefined;
  order: Pick<BuildOrder, "target" | "buildArgs" | "labels" | "platform" | "noCache" | "pull">;
  /** The base image of a tree of scripts */
  base: string;
  /** --strip */
  strip: number;
  limits: Partial<ContextLimits>;
  /** --keep: number of images to keep per repository */
  keep?: number | undefined;
  /** --allow: the names that the client's key may build. --keep removes no other names. */
  allow?: readonly NamePattern[] | undefined;
  /** --cache-limit, bytes */
  cacheLimit?: number | undefined;
  /** --jobs: number of concurrent builds, of all names */
  jobs?: number | undefined;
  /** --latest: cancel earlier builds of this name */
  isLatest: boolean;
  /** --max-time, ms: limit of the build, without the time in the queue */
  maxTime: number;
  /** --timeout, ms */
  timeout?: number | undefined;
  /** The address in -H or DOCKER_HOST; undefined: the docker context decides. */
  endpoint: EngineEndpoint | undefined;
  /** Print the report on stdout, a line for each fact. False with --json, where the report is an event. */
  printsReport: boolean;
}
