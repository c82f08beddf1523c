import { parseNamePattern, type NamePattern } from "../../factory/forced/name-patterns.ts";
import { InvalidReference, parseReference } from "../../image/reference.ts";
import type { Platform } from "../../image/platform.ts";
import { BUILDER_OPTIONS } from "./builder-options.ts";
import { InvalidValue, type OptionDefinition } from "./command-definition.ts";
import { parseAge, parseSeconds, parseSize, parseStrip } from "./option-values.ts";

/** Values of the options of `build --stdin`. */
export interface FactoryOptionValues {
  stdin?: boolean | undefined;
  forced?: boolean | undefined;
  allow?: readonly NamePattern[] | undefined;
  file?: string | undefined;
  target?: string | undefined;
  buildArg?: readonly Pair[] | undefined;
  label?: readonly Pair[] | undefined;
  platform?: Platform | undefined;
  /** False for --no-cache */
  cache?: boolean | undefined;
  pull?: boolean | undefined;
  strip?: number | undefined;
  base?: string | undefined;
  push?: string | undefined;
  keep?: number | undefined;
  /** Bytes */
  cacheLimit?: number | undefined;
  jobs?: number | undefined;
  latest?: boolean | undefined;
  /** Bytes */
  maxSize?: number | undefined;
  /** ms */
  maxTime?: number | undefined;
  host?: string | undefined;
  /** ms */
  timeout?: number | undefined;
  json?: boolean | undefined;
  quiet?: boolean | undefined;
  verbose?: boolean | undefined;
  /** False for --no-progress */
  progress?: boolean | undefined;
}

type Pair = readonly [name: string, value: string];

/** The base image for a tree of scripts: small, and fixed to one version. */
export const DEFAULT_BASE = "debian:12.12-slim";

/** Options that a client of a forced command may also use. */
export const CLIENT_OPTIONS: readonly OptionDefinition[] = [
  { flags: "-f, --file <path>", description: "the Dockerfile in the archive (default: Dockerfile)", parse: parsePath },
  { flags: "--target <stage>", description: "the stage of the Dockerfile to build" },
  {
    flags: "--build-arg <name=value>",
    description: "a build argument; may be repeated",
    parse: parsePair,
    repeats: true,
  },
  {
    flags: "--label <name=value>",
    description: "a label of the image; may be repeated",
    parse: parsePair,
    repeats: true,
  },
  ...BUILDER_OPTIONS,
  {
    flags: "--strip <count>",
    description: "remove this number of leading folders from each path in the archive",
    parse: parseStrip,
  },
  { flags: "--latest", description: "cancel earlier builds of NAME, whether they wait or run" },
];

export const FACTORY_OPTIONS: readonly OptionDefinition[] = [
  {
    flags: "--stdin",
    description: "build the archive on stdin on this machine: tar, also with gzip, zstd, xz or bzip2, or zip",
  },
  ...CLIENT_OPTIONS,
  {
    flags: "--base <image>",
    description: `the image that build.sh and run.sh run in, if there is no Dockerfile (default: DOCKER_OVER_SSH_BASE, or ${DEFAULT_BASE})`,
    parse: parseImage,
  },
  {
    flags: "--push <registry>",
    description: "after the build, push the image to REGISTRY[/PATH], with the credentials of this account",
  },
  {
    flags: "--keep <count>",
    description: "after the build, remove older images of the same repository, and keep this number of the newest ones",
    parse: parseCount,
  },
  {
    flags: "--cache-limit <size>",
    description: "after the build, reduce the engine's build cache to this size, e.g. 10g",
    parse: parseSize,
  },
  {
    flags: "--jobs <count>",
    description: "maximum number of concurrent builds of this account; further builds wait",
    parse: parseCount,
  },
  {
    flags: "--max-size <size>",
    description: "reject an archive that unpacks to more than this (default: 4g)",
    parse: parseSize,
  },
  {
    flags: "--max-time <time>",
    description: "stop a build that takes longer, e.g. 10m (default: 1h)",
    parse: parseAge,
  },
  {
    flags: "--forced",
    description:
      'in authorized_keys, as command="…": the client\'s command, in SSH_ORIGINAL_COMMAND, names the image, and may use some of the options',
  },
  {
    flags: "--allow <pattern>",
    description:
      "with --forced: names that the key may build; * matches any characters except / and :; may be repeated",
    parse: parsePattern,
    repeats: true,
  },
  {
    flags: "-H, --host <address>",
    description: "address of the engine, as for the docker command: unix://, tcp://, npipe:// or ssh://",
  },
  {
    flags: "--timeout <seconds>",
    description: "give up when the archive or the engine is silent for this long (default: 60)",
    parse: parseSeconds,
  },
];

/** Requires a value. Without one, docker uses the environment, which would be that of another machine. */
function parsePair(text: string): Pair {
  const [, name, value] = /^([^=]+)=(.*)$/s.exec(text) ?? [];
  if (name === undefined || value === undefined) throw new InvalidValue("Expected NAME=VALUE.");
  return [name, value];
}

function parsePath(text: string): string {
  const names = text.split("/").filter((name) => name !== "" && name !== ".");
  if (text.startsWith("/") || text.includes("\0") || names.includes("..") || names.length === 0) {
    throw new InvalidValue("Expected a path in the archive.");
  }
  return names.join("/");
}

function parseCount(text: string): number {
  if (/^[1-9]\d{0,5}$/.test(text)) return Number(text);
  throw new InvalidValue("Expected a number, at least 1.");
}

function parsePattern(text: string): NamePattern {
  try {
    return parseNamePattern(text);
  } catch (error) {
    throw error instanceof InvalidReference ? new InvalidValue(error.message) : error;
  }
}

/** Parses the base image. It is inserted into a Dockerfile, which is safe because a reference contains neither spaces nor line ends. */
function parseImage(text: string): string {
  try {
    return parseReference(text).given;
  } catch (error) {
    throw error instanceof InvalidReference ? new InvalidValue(error.message) : error;
  }
}
