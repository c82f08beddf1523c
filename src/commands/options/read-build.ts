import { realpathSync, statSync } from "node:fs";
import { hostname } from "node:os";
import { posix, relative, resolve, sep } from "node:path";
import { digestOf } from "../../image/digest.ts";
import { parseSecret } from "../../credentials/secrets.ts";
import { parseAgent } from "../../credentials/ssh-agents.ts";
import { namedEndpoint } from "../../engine/connect/endpoint.ts";
import type { BuildOrder } from "../../engine/engine-builder.ts";
import { Failure } from "../../output/errors.ts";
import type { BuildRequest, Connection, TargetEngine } from "../../request.ts";
import type { LocalFiles } from "../../build-context/local-files.ts";
import type { FileLocation } from "../../image/location.ts";
import type { Reference } from "../../image/reference.ts";
import type { BuildOptionValues, Pair } from "./build-options.ts";
import { readLocation, readReference } from "./read-names.ts";

/** The parsed CONTEXT. `git`: the engine fetches it. */
type GivenContext = LocalFiles | { kind: "git"; address: string };

/** Distinguishes the address of a repository or an archive from a path, like the docker CLI (moby, `builder/remotecontext/urlutil`). */
export const GIT_ADDRESS = /^(?:https?:\/\/|git:\/\/|git@|github\.com\/)/;

/** Creates a request from a build's command line. Throws a `usage` or `not-buildable` Failure. */
export function readBuildRequest(
  given: string,
  connection: Connection,
  options: BuildOptionValues,
  env: NodeJS.ProcessEnv,
): BuildRequest {
  const names = (options.tag ?? []).map(readReference);
  const context = readContext(given, options);
  const secrets = (options.secret ?? []).map((spec) => parseSecret(spec, env));
  const agents = (options.ssh ?? []).map(parseAgent);
  const { push = false, delta = "auto", compress, bwlimit, timeout } = options;
  const isBroughtBack = options.load === true || options.to !== undefined;
  refuseCheckWith(options);
  refuseWithoutName(names, options);
  const order: BuildOrder = {
    names: names.map((name) => name.given),
    ...(context.kind === "git" && { git: context.address }),
    ...(context.kind === "stdin" && { isArchive: true }),
    dockerfile: dockerfileIn(context, options.file),
    target: options.target,
    buildArgs: readBuildArgs(options.buildArg ?? [], env),
    labels: Object.fromEntries((options.label ?? []).map(([name, value = ""]) => [name, value])),
    platform: options.platform,
    noCache: options.cache === false,
    pull: options.pull ?? false,
    cacheFrom: options.cacheFrom ?? [],
    network: options.network,
    secrets: secrets.map(({ id }) => id),
    agents: agents.map(({ id }) => id),
    contextKey: projectKey(names, context),
    contextPlace: placeKey(names, context),
  };
  refuseLargeOrder(order);
  return {
    role: "receiver",
    connection,
    timeout,
    compress,
    bwlimit,
    delta,
    platform: options.platform,
    ...(names[0] && { name: names[0], image: { given: names[0].given, reference: names[0] } }),
    ...(names.length > 1 && { further: { names: names.slice(1), tags: [] } }),
    isRenamed: false,
    target: readTarget(options, env),
    build: {
      order,
      files: context.kind === "git" ? undefined : context,
      secrets,
      agents,
      goal: options.check ? { kind: "check" } : { kind: "image", push, isBroughtBack },
    },
  };
}

function readContext(given: string, { gitignore = true, strip }: BuildOptionValues): GivenContext {
  if (given === "-") return { kind: "stdin", strip };
  if (GIT_ADDRESS.test(given)) return { kind: "git", address: given };
  return { kind: "folder", path: given, gitignore };
}

/** Returns the path of the Dockerfile in the context. As with docker, -f is relative to the current folder. */
export function dockerfileIn(context: GivenContext, file: string | undefined): string {
  if (file === undefined) return "Dockerfile";
  if (file === "-") {
    throw new Failure("usage", "-f - would read the Dockerfile from stdin", {
      expected: "a Dockerfile in the context",
      hint: "Write it to a file in the context.",
    });
  }
  if (context.kind !== "folder") return pathInside(file, context);
  const root = realPath(resolve(context.path));
  const path = [resolve(file), resolve(context.path, file)].find(
    (path) => statSync(path, { throwIfNoEntry: false }) !== undefined,
  );
  if (path === undefined) {
    throw new Failure("not-buildable", `there is no ${file}`, {
      expected: "the path of the Dockerfile after -f, relative to the current folder or to the context",
      hint: "Check the path.",
    });
  }
  const inside = relative(root, realPath(path));
  if (inside !== "" && inside !== ".." && !inside.startsWith(`..${sep}`)) return inside.split(sep).join("/");
  throw new Failure("not-buildable", `${file} is outside the context ${context.path}`, {
    expected: "a Dockerfile in the context",
    hint: "Name a folder that contains both, and exclude the rest with a .dockerignore.",
  });
}

/** Returns the path of -f inside an archive or a repository. */
function pathInside(file: string, { kind }: GivenContext): string {
  const path = posix.normalize(file);
  if (!/^(?:\/|\.\.?(?:\/|$))/.test(path) && !path.endsWith("/")) return path;
  const where = kind === "git" ? "the repository" : "the archive";
  throw new Failure("not-buildable", `${file} is not the path of a file in ${where}`, {
    expected: `the path of the Dockerfile in ${where}, for instance -f docker/Dockerfile`,
  });
}

/**
 * Returns the build arguments. An argument without a value gets the value of the environment; if there is none, the Dockerfile's default
 * applies.
 */
export function readBuildArgs(pairs: readonly Pair[], env: NodeJS.ProcessEnv): Record<string, string> {
  const args: Record<string, string> = {};
  for (const [name, given] of pairs) {
    const value = given ?? env[name];
    if (value !== undefined) args[name] = value;
  }
  return args;
}

function realPath(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return path; // opening the context reports why
  }
}

/** Returns the key of the project among the stored contexts: its image, so that all checkouts share a context; otherwise its folder. */
function projectKey([name]: readonly Reference[], context: GivenContext): string {
  const project = name === undefined ? placeOf(context) : [name.domain, name.path];
  return digestOf(JSON.stringify(project));
}

/** Returns a key of the project's folder. */
function placeKey([name]: readonly Reference[], context: GivenContext): string {
  return digestOf(JSON.stringify([...placeOf(context), ...(name === undefined ? [] : [name.domain, name.path])]));
}

function placeOf(context: GivenContext): string[] {
  return [hostname(), context.kind === "folder" ? realPath(resolve(context.path)) : context.kind];
}

/** Throws a `usage` Failure for options that contradict a check, which builds no image and prints its findings. */
function refuseCheckWith({ check, push, load, to, deploy, iidfile, metadataFile, quiet }: BuildOptionValues): void {
  if (check !== true) return;
  const others = { "--push": push, "--load": load, "--to": to, "--deploy": deploy };
  const ofResult = { "--iidfile": iidfile, "--metadata-file": metadataFile, "--quiet": quiet };
  const [option] = given({ ...others, ...ofResult });
  if (option === undefined) return;
  throw new Failure("usage", `--check and ${option} are both given`, {
    expected: "one of them: a check builds nothing, and prints its findings",
    hint: "Omit one of them.",
  });
}

function given(options: Record<string, unknown>): string[] {
  return Object.entries(options).flatMap(([name, value]) => (value === undefined || value === false ? [] : [name]));
}

/** Maximum bytes of an order. It is sent as one line, of which the other side accepts 1 MB, and half of that for each text in it. */
const MAX_ORDER = 500_000;

function refuseLargeOrder(order: BuildOrder): void {
  const bytes = Buffer.byteLength(JSON.stringify(order));
  if (bytes <= MAX_ORDER) return;
  throw new Failure("usage", `the options of the build have ${bytes} bytes`, {
    expected: `at most ${MAX_ORDER} bytes of names, arguments and labels`,
    hint: "Put large values into a file of the context, or pass them with --secret.",
  });
}

function refuseWithoutName(names: readonly Reference[], { push, load, to, deploy }: BuildOptionValues): void {
  if (names.length > 0) return;
  const [option] = given({ "--push": push, "--load": load, "--to": to, "--deploy": deploy });
  if (option === undefined) return;
  throw new Failure("usage", `${option} needs a name for the image`, {
    expected: "-t NAME",
    hint: `docker-over-ssh build -t app:v2 ${option} …`,
  });
}

function readTarget({ to, load, host }: BuildOptionValues, env: NodeJS.ProcessEnv): TargetEngine | FileLocation {
  const location = to === undefined ? undefined : readLocation(to);
  if (to !== undefined && load === true) {
    throw new Failure("usage", "--load and --to are both given", {
      expected: "one of them",
      hint: "Omit one of them.",
    });
  }
  if (to !== undefined && location === undefined) {
    throw new Failure("usage", `--to ${to} does not name a location`, {
      expected: "docker-archive:FILE, oci:FOLDER or oci-archive:FILE",
      hint: `For instance --to oci:${to}`,
    });
  }
  if (location !== undefined && location.kind !== "docker-daemon") return location;
  return { kind: "docker-daemon", endpoint: namedEndpoint(host, env), via: "load" };
}
