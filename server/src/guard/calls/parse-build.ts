import { Type } from "typebox";
import type { BuildRequest } from "../build-request.ts";
import { badRequest, Refusal } from "../refusal.ts";
import type { QueryShape, StrictQuery } from "../request/query.ts";
import { readRegistryConfig } from "../request/registry-auth.ts";
import { strictObject } from "../request/strict-json.ts";
import type { StrictRequest } from "../request/strict-request.ts";
import { parseTenantName } from "../images/names.ts";
import { refuseNodes, refusePriorityUlimit } from "../policy/build-limits.ts";
import { isReservedLabel, refuseReservedHost } from "../images/reserved.ts";

/** Keys that docker 20.10 to 29, docker-py and compose send. Some values are refused below. */
export const BUILD_QUERY: QueryShape = {
  t: "repeated",
  remote: "once",
  dockerfile: "once",
  target: "once",
  buildargs: "once",
  labels: "once",
  platform: "once",
  nocache: "once",
  pull: "once",
  q: "once",
  rm: "once",
  forcerm: "once",
  cachefrom: "once",
  networkmode: "once",
  extrahosts: "repeated",
  shmsize: "once",
  ulimits: "once",
  memory: "once",
  memswap: "once",
  cpushares: "once",
  cpuquota: "once",
  cpuperiod: "once",
  cpusetcpus: "once",
  cpusetmems: "once",
  cgroupparent: "once",
  isolation: "once",
  squash: "once",
  securityopt: "repeated",
  version: "once",
  buildid: "once",
  session: "once",
  outputs: "once",
  stream: "once",
};

/** Clients send an empty list or object, or `null` instead. */
const orNull = <Schema extends Parameters<typeof Type.Union>[0][number]>(schema: Schema) =>
  Type.Union([schema, Type.Null()]);
const STRINGS = orNull(Type.Record(Type.String(), Type.String()));
const ARGS = orNull(Type.Record(Type.String(), Type.Union([Type.String(), Type.Null()])));
const LIST = orNull(Type.Array(Type.String()));
const ULIMITS = orNull(
  Type.Array(
    strictObject({ Name: Type.String(), Soft: Type.Optional(Type.Integer()), Hard: Type.Optional(Type.Integer()) }),
  ),
);
const OUTPUTS = orNull(Type.Array(strictObject({ Type: Type.String(), Attrs: Type.Optional(STRINGS) })));

/** Content types of a context. The engine ignores them and detects the format from the bytes. */
const CONTEXT_TYPES = /^(?:application\/(?:x-tar|tar|x-gtar|octet-stream|x-gzip|gzip)|)$/;
const DOCKERFILE = "Dockerfile";
/** Maximum number of names for one image. Each is a request to the store of the engine. */
const MAX_NAMES = 100;
/** The value for a context, or a Dockerfile, in the session */
const IN_SESSION = "client-session";
const PLATFORM = /^[a-z0-9_]+(?:\/[a-z0-9_]+(?:\/[a-z0-9_.]+)?)?$/i;
const ID = /^[\w.:-]{1,128}$/;

/**
 * Parses `POST /build`.
 *
 * @throws Refusal 400 for a malformed request, 403 for options that no tenant may use
 */
export function parseBuild(request: StrictRequest): BuildRequest {
  const { query, headers } = request;
  const type = (headers.get("content-type") ?? "").split(";")[0]?.trim() ?? "";
  if (!CONTEXT_TYPES.test(type))
    throw badRequest("build.content-type", `a context must be a tar, not ${JSON.stringify(type)}`);
  refuseForbidden(query);
  const remote = query.text("remote");
  return {
    builder: builderOf(query.text("version")),
    names: checkedNames(query.all("t").filter((name) => name !== "")),
    dockerfile: query.text("dockerfile") || DOCKERFILE,
    target: query.text("target") || undefined,
    buildArgs: checkedArgs(query.json("buildargs", ARGS) ?? {}),
    labels: checkedLabels(query.json("labels", STRINGS) ?? {}),
    platform: matching(query, "platform", PLATFORM),
    noCache: query.flag("nocache"),
    pull: query.flag("pull"),
    quiet: query.flag("q"),
    remove: query.flag("rm", true),
    forceRemove: query.flag("forcerm"),
    cacheFrom: query.json("cachefrom", LIST) ?? [],
    network: networkOf(query.text("networkmode")),
    extraHosts: query
      .all("extrahosts")
      .filter((host) => host !== "")
      .map(checkedHost),
    ulimits: (query.json("ulimits", ULIMITS) ?? []).map(ulimit),
    ...limits(query),
    remote: remote === undefined || remote === "" || remote === IN_SESSION ? undefined : remote,
    session: matching(query, "session", ID),
    buildId: matching(query, "buildid", ID),
    outputs: (query.json("outputs", OUTPUTS) ?? []).map(({ Type: type, Attrs }) => ({ type, attributes: Attrs ?? {} })),
    credentials: readRegistryConfig(headers.get("x-registry-config")),
  };
}

function refuseForbidden(query: StrictQuery): void {
  const given = (key: string): string | undefined => query.all(key).find((value) => value !== "");
  if (given("cgroupparent") !== undefined) {
    throw new Refusal("build.cgroupparent", "the guard sets the cgroup in which steps run: omit --cgroup-parent");
  }
  if (given("securityopt") !== undefined) {
    throw new Refusal("build.securityopt", "steps run with the engine's own security options: omit --security-opt");
  }
  if (query.all("isolation").some((value) => !["", "default"].includes(value))) {
    throw new Refusal("build.isolation", "steps run with the engine's default isolation: omit --isolation");
  }
  refuseNodes(given("cpusetmems") ?? "");
  if (query.flag("squash")) throw new Refusal("build.squash", "--squash is not allowed: use a build of several stages");
  if (query.flag("stream")) throw new Refusal("build.stream", "--stream is not allowed: engines no longer have it");
}

function builderOf(version: string | undefined): BuildRequest["builder"] {
  if (version === undefined || version === "" || version === "1") return "classic";
  if (version === "2") return "buildkit";
  throw badRequest("query.value", `version must be 1 (the classic builder) or 2 (BuildKit)`);
}

function checkedNames(names: readonly string[]): string[] {
  if (names.length > MAX_NAMES)
    throw new Refusal("build.names", `a build may give its image at most ${MAX_NAMES} names`);
  return names.map(checkedName);
}

function checkedName(name: string): string {
  if (parseTenantName(name).digest !== undefined) {
    throw badRequest("name.digest", `"${name}": an image cannot be given a name with a digest`);
  }
  return name;
}

function checkedArgs(args: Record<string, string | null>): Record<string, string | null> {
  for (const [key, value] of Object.entries(args)) {
    if (key === "" || key.includes("\0") || value?.includes("\0") === true) {
      throw badRequest("build.args", "a build argument has no name, or a NUL character");
    }
  }
  return args;
}

function checkedLabels(labels: Record<string, string>): Record<string, string> {
  const reserved = Object.keys(labels).find(isReservedLabel);
  if (reserved === undefined) return labels;
  throw new Refusal("label.reserved", `the label ${JSON.stringify(reserved)} is the guard's own`);
}

function networkOf(mode: string | undefined): BuildRequest["network"] {
  if (mode === undefined || mode === "" || mode === "default") return "default";
  if (mode === "none") return "none";
  throw new Refusal("build.networkmode", `--network ${mode} is not allowed: only default and none are`);
}

/** Parses `HOST:ADDRESS`, or `HOST=ADDRESS`, the format of newer clients */
function checkedHost(given: string): string {
  const [, host = "", address = ""] = /^([\w.-]{1,253})[:=]\[?([\w.:%-]{1,64})\]?$/.exec(given) ?? [];
  if (host === "") throw badRequest("build.extra-hosts", `${JSON.stringify(given)} is not HOST:ADDRESS`);
  refuseReservedHost(host);
  return `${host}:${address}`;
}

function ulimit({ Name, Soft, Hard }: { Name: string; Soft?: number; Hard?: number }): string {
  if (!/^[a-z]{1,20}$/.test(Name))
    throw badRequest("build.ulimits", `${JSON.stringify(Name)} is not the name of a ulimit`);
  refusePriorityUlimit(Name);
  const soft = Soft ?? Hard ?? 0;
  return `${Name}=${soft}:${Hard ?? soft}`;
}

/** Clients send 0 for an unset limit. */
function limits(query: StrictQuery) {
  const positive = (key: string): number | undefined => {
    const value = query.integer(key);
    if (value !== undefined && value < 0) throw badRequest("query.value", `${key} must not be negative`);
    return value === 0 ? undefined : value;
  };
  return {
    shmSize: positive("shmsize"),
    memory: positive("memory"),
    // -1: unlimited swap
    memorySwap: query.integer("memswap") || undefined,
    cpuShares: positive("cpushares"),
    // -1: no limit, like 0
    cpuQuota: query.integer("cpuquota") === -1 ? undefined : positive("cpuquota"),
    cpuPeriod: positive("cpuperiod"),
    cpusetCpus: matching(query, "cpusetcpus", /^\d{1,4}(?:-\d{1,4})?(?:,\d{1,4}(?:-\d{1,4})?)*$/),
  };
}

/** Returns undefined for a missing or empty value */
function matching(query: StrictQuery, key: string, form: RegExp): string | undefined {
  const value = query.text(key);
  if (value === undefined || value === "") return undefined;
  if (!form.test(value)) throw badRequest("query.value", `${key} has the wrong form`);
  return value;
}
