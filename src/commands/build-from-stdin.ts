import { namedEndpoint } from "../engine/connect/endpoint.ts";
import { readForcedCommand } from "../factory/forced/forced-command.ts";
import { readName, refuseName } from "../factory/forced/name-patterns.ts";
import type { FactoryRequest } from "../factory/factory-request.ts";
import { publishedName } from "../factory/published-name.ts";
import type { Reference } from "../image/reference.ts";
import { Failure } from "../output/errors.ts";
import { clientOptions, valuesOf } from "./options/client-options.ts";
import type { CommandDefinition, CommandJob } from "./options/command-definition.ts";
import { CLIENT_OPTIONS, DEFAULT_BASE, FACTORY_OPTIONS, type FactoryOptionValues } from "./options/factory-options.ts";
import { withOutputOptions } from "./options/output-options.ts";
import { readReference } from "./options/read-names.ts";

/** A parsed build of an archive, not yet run. */
export interface FactoryJob extends CommandJob {
  request: FactoryRequest;
}

/** ms, --max-time */
const MAX_TIME = 3600_000;

/**
 * `build --stdin` and `build --forced`, which build on this machine. cli.ts treats these words as a command of their own, because its
 * options differ from those of a build on a host.
 */
export const buildFromStdinCommand: CommandDefinition<FactoryOptionValues, FactoryJob> = {
  name: "build-from-stdin",
  isHidden: true,
  summary: "build the archive on stdin with the engine of this machine",
  description:
    "Builds the archive on stdin and gives the image NAME. The root of the archive has a Dockerfile, or build.sh and run.sh. The sender needs only ssh: git archive HEAD | ssh HOST docker-over-ssh build --stdin NAME. With --forced it is the only command of a key in authorized_keys (docs/factory.md).",
  arguments: [{ term: "[NAME]", description: "name of the image; with --forced the client names it" }],
  usage: "--stdin [options] NAME",
  options: FACTORY_OPTIONS,
  toJob(words, options, env) {
    if (options.forced !== true) {
      if (options.allow !== undefined) throw allowWithoutForced();
      const [name, ...others] = words;
      if (name === undefined || others.length > 0) throw oneName(words.length);
      return jobOf(readRequest(name, options, env), options);
    }
    const { name, values } = readClient(words, options, env);
    return jobOf(readRequest(name, values, env), values);
  },
};

/** Reads the client's command, which cannot change the options of the key. */
function readClient(
  words: readonly string[],
  options: FactoryOptionValues,
  env: NodeJS.ProcessEnv,
): { name: string; values: FactoryOptionValues } {
  const { allow = [] } = options;
  if (words.length > 0 || allow.length === 0) throw forcedWithoutAllow(words);
  const definitions = withOutputOptions(CLIENT_OPTIONS);
  const order = readForcedCommand(env["SSH_ORIGINAL_COMMAND"], clientOptions(definitions));
  refuseName(readName(order.name), allow);
  const client: FactoryOptionValues = valuesOf(order, definitions);
  const own = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
  return {
    name: order.name,
    values: {
      ...client,
      ...own,
      ...overridden(client, options),
      buildArg: [...(client.buildArg ?? []), ...(options.buildArg ?? [])],
      label: [...(client.label ?? []), ...(options.label ?? [])],
    },
  };
}

/** Options without a value are false or true whether they were given or not, so those of the client also count. */
function overridden(client: FactoryOptionValues, own: FactoryOptionValues): FactoryOptionValues {
  const either = (name: "json" | "quiet" | "verbose" | "latest" | "pull"): boolean =>
    client[name] === true || own[name] === true;
  const neither = (name: "cache" | "progress"): boolean => client[name] !== false && own[name] !== false;
  return {
    json: either("json"),
    quiet: either("quiet"),
    verbose: either("verbose"),
    latest: either("latest"),
    pull: either("pull"),
    cache: neither("cache"),
    progress: neither("progress"),
  };
}

function readRequest(given: string, options: FactoryOptionValues, env: NodeJS.ProcessEnv): FactoryRequest {
  const name = readName(given);
  const { push, maxSize } = options;
  return {
    name,
    published: push === undefined ? undefined : readPublishedName(name, push),
    dockerfile: options.file,
    order: {
      target: options.target,
      buildArgs: Object.fromEntries(options.buildArg ?? []),
      labels: Object.fromEntries(options.label ?? []),
      platform: options.platform,
      noCache: options.cache === false,
      pull: options.pull ?? false,
    },
    base: options.base ?? baseOf(env),
    strip: options.strip ?? 0,
    limits: maxSize === undefined ? {} : { bytes: maxSize },
    keep: options.keep,
    allow: options.allow,
    cacheLimit: options.cacheLimit,
    jobs: options.jobs,
    isLatest: options.latest ?? false,
    maxTime: options.maxTime ?? MAX_TIME,
    timeout: options.timeout,
    endpoint: namedEndpoint(options.host, env),
    printsReport: options.json !== true,
  };
}

function jobOf(request: FactoryRequest, options: FactoryOptionValues): FactoryJob {
  const { json = false, quiet = false, verbose = false, progress = true } = options;
  return {
    request,
    printsOnStdout: !json,
    output: { json, quiet, verbose, progress },
    buildProgress: quiet ? "quiet" : "plain",
    run: async (context) => await (await import("../factory/run-factory.ts")).runFactory(request, context),
  };
}

function baseOf({ DOCKER_OVER_SSH_BASE: base = "" }: NodeJS.ProcessEnv): string {
  return base === "" ? DEFAULT_BASE : readReference(base).given;
}

function readPublishedName(name: Reference, to: string): Reference {
  readReference(`${to}/name`); // throws a Failure if no name can begin with this
  return publishedName(name, to);
}

function oneName(count: number): Failure {
  return new Failure("usage", count === 0 ? "no image name is given" : `${count} words are given in place of NAME`, {
    expected: "one NAME[:TAG]",
    hint: "git archive HEAD | docker-over-ssh build --stdin app:v2",
  });
}

function allowWithoutForced(): Failure {
  return new Failure("usage", "--allow is for --forced, where the client names the image", {
    expected: "--forced --allow PATTERN, or --stdin NAME",
  });
}

function forcedWithoutAllow(words: readonly string[]): Failure {
  const [word] = words;
  return new Failure(
    "usage",
    word === undefined
      ? "--forced needs --allow, which defines the names that a client may build"
      : `${word} follows --forced, where the client names the image`,
    {
      expected: "--allow PATTERN, once or more, and no NAME",
      hint: "For instance command=\"docker-over-ssh build --forced --allow 'team/*'\" in authorized_keys.",
    },
  );
}
