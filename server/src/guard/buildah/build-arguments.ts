import type { parseReference } from "docker-over-ssh/builds";
import { fullName } from "docker-over-ssh/builds";
import type { BuildRequest } from "../build-request.ts";
import { parseTenantName } from "../images/names.ts";
import { Refusal } from "../refusal.ts";
import type { Tenant } from "../tenant.ts";
import { CALL } from "./sandbox.ts";
import type { Setup } from "./run-buildah.ts";
import { TENANT_LABEL } from "../images/reserved.ts";

/**
 * Variables that buildah, the shell or the linker read. A build argument with such a name is passed as an argument of the program, which everybody on the
 * host can read while it runs. All others are passed as variables, which nobody else can read.
 */
const RESERVED =
  /^(?:PATH|HOME|IFS|ENV|PWD|OLDPWD|SHELL|USER|TMPDIR|TERM|LANG|LANGUAGE|GLIBC_TUNABLES|OPTIND|PS[124]|f|value|LC_.*|LD_.*|XDG_.*|_.*|BUILDAH_.*|CONTAINERS?_.*|REGISTRY_.*|STORAGE_.*|GO[A-Z0-9]*|SSL_.*|GPG.*|NOTIFY_.*|DBUS_.*|(?:https?|no|all)_proxy|(?:HTTPS?|NO|ALL)_PROXY)$/;
const NAME = /^[A-Za-z]\w*$/;

/** Returns the full names, with tags, that a build gives to its image. */
export function namesOf(names: readonly string[]): string[] {
  return names.map((name) => {
    const reference = parseTenantName(name);
    if (reference.digest === undefined) return fullName(reference);
    throw new Refusal("name.digest", `"${name}": an image cannot be given a name with a digest`, { statusCode: 400 });
  });
}

/** Returns build arguments as files of {@link CALL}: name and content. */
export function variablesOf({ buildArgs }: BuildRequest): Record<string, string> {
  return Object.fromEntries(
    Object.entries(buildArgs).filter(
      (entry): entry is [string, string] => entry[1] !== null && isVariable(entry[0]) && !entry[1].includes("\0"),
    ),
  );
}

function isVariable(name: string): boolean {
  return NAME.test(name) && !RESERVED.test(name) && name.length < 200;
}

/** Refuses a build that buildah does not support, or that it may not run. */
export function checkRequest(request: BuildRequest, { isolation }: Setup): void {
  if (request.builder === "buildkit") {
    throw new Refusal("buildah.buildkit", "this guard builds with buildah, and has no BuildKit: set DOCKER_BUILDKIT=0");
  }
  if (request.remote !== undefined) {
    throw new Refusal("buildah.remote", "this guard builds contexts that are sent to it, and fetches none by address");
  }
  if (request.dockerfile.startsWith("/") || request.dockerfile.split("/").includes("..")) {
    throw new Refusal("build.dockerfile", `the Dockerfile ${request.dockerfile} is outside of the context`, {
      statusCode: 400,
    });
  }
  if (request.shmSize !== undefined && isolation === "chroot") {
    throw new Refusal("buildah.shm-size", "steps have no /dev/shm of their own here: omit --shm-size");
  }
}

/**
 * Returns the arguments of `buildah build`. Images come from the storage only, into which the guard has fetched those that the policy allows. The image gets
 * no name yet, because an image beyond the quota would take the name from the tenant's earlier image.
 */
export function buildArguments(
  request: BuildRequest,
  { id, labels, resources }: Tenant,
  { isolation, runtime }: Setup,
  network: "none" | "host",
): string[] {
  const { target, platform, noCache, extraHosts, shmSize, ulimits, buildArgs, dockerfile } = request;
  const stamped = { ...request.labels, ...labels, [TENANT_LABEL]: id };
  return [
    "build",
    "--isolation",
    isolation,
    ...(runtime === undefined ? [] : ["--runtime", runtime]),
    "--format",
    "docker",
    "--pull=never",
    "--layers",
    "--force-rm",
    "--http-proxy=false",
    "--network",
    network,
    ...(noCache ? ["--no-cache"] : []),
    ...(target === undefined ? [] : ["--target", target]),
    ...(platform === undefined ? [] : ["--platform", platform]),
    ...(shmSize === undefined ? [] : ["--shm-size", `${shmSize}b`]),
    ...extraHosts.flatMap((host) => ["--add-host", host]),
    // The last value of a ulimit applies, so the operator's come after the tenant's.
    ...mergeUlimits(ulimits, resources.ulimits).flatMap((limit) => ["--ulimit", limit]),
    ...Object.entries(stamped).flatMap(([key, value]) => ["--label", `${key}=${value}`]),
    ...Object.entries(buildArgs).flatMap(([name, value]) => {
      if (value === null) return [];
      return ["--build-arg", isVariable(name) ? name : `${name}=${value}`];
    }),
    "--file",
    `${CALL}/context/${dockerfile}`,
    `${CALL}/context`,
  ];
}

function mergeUlimits(asked: readonly string[], held: readonly string[]): string[] {
  const nameOf = (limit: string): string => limit.split("=")[0] ?? "";
  const names = new Set(held.map(nameOf));
  return [...asked.filter((limit) => !names.has(nameOf(limit))), ...held];
}

/** Parses the name of a base. Throws a Refusal `base.refused` for other transports, e.g. `dir:/etc`, `oci:…` or `docker-archive:…`. */
export function baseOf(text: string): ReturnType<typeof parseReference> {
  const bare = text.replace(/^docker:\/\//, "");
  // A tag has no slash, and the name before it is not one of buildah's transports.
  if (
    /^(?:dir|oci|oci-archive|docker-archive|docker-daemon|containers-storage|sif|ostree|tarball|atomic):/.test(bare)
  ) {
    throw new Refusal(
      "base.refused",
      `"${text}" is not the name of an image: builds use images, and no files of the host`,
    );
  }
  return parseTenantName(bare);
}
