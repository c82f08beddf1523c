import { Refusal } from "../refusal.ts";
import { refuseReservedHost } from "../images/reserved.ts";
import { refuseBeyond, refuseNodes, refusePriorityUlimit, type RequestedLimits } from "../policy/build-limits.ts";
import { noCacheImport } from "./cache-options.ts";
import { checkSource } from "../policy/sources.ts";
import type { Policy, Resources } from "../policy/policy.ts";

/** The values on which the checks of attributes depend. */
export interface AttributeContext {
  policy: Policy;
  resources: Resources;
  /** Returns the engine's ID of a session of the tenant */
  sessionOf: (id: string) => string;
}

/** Returns the value that the builder gets, or undefined to omit the attribute. Throws a Refusal. */
type Checker = (value: string, key: string, context: AttributeContext) => string | undefined;

const text: Checker = (value) => value;
const omitted: Checker = () => undefined;

/** Maximum characters of a value. Some build arguments contain certificates. */
const MAX_VALUE = 256 * 1024;
/** Maximum attributes of a build */
const MAX_ATTRIBUTES = 2_000;

function matching(pattern: RegExp, expected: string): Checker {
  return (value, key) => {
    if (pattern.test(value)) return value;
    throw new Refusal(
      "frontend.value",
      `"${value}" is not a value of the build's attribute "${key}": expected ${expected}`,
      {
        statusCode: 400,
      },
    );
  };
}

function refused(rule: string, sentence: string): Checker {
  return () => {
    throw new Refusal(rule, sentence);
  };
}

const flag = matching(/^(?:|0|1|t|f|true|false)$/i, "true or false");
const number = matching(/^\d{0,18}$/, "a number");

/** Attributes of dockerfile.v0 (moby/buildkit, frontend/dockerui and frontend/dockerfile/builder) */
const EXACT: Readonly<Record<string, Checker>> = {
  filename: text,
  target: text,
  // The engine creates all steps of a Dockerfile for each platform.
  platform: matching(/^[\w./ ()+-]*(?:,[\w./ ()+-]*){0,19}$/, "a list of at most 20 platforms, e.g. linux/amd64"),
  "multi-platform": flag,
  "no-cache": text,
  "image-resolve-mode": matching(/^(?:|default|local|pull)$/, "local, pull or default"),
  // A list in CSV. Without quotes, which no client writes, all parsers read it alike.
  "add-hosts": (value, key, context) => {
    for (const host of value.split(",")) refuseReservedHost(host.split("=")[0] ?? "");
    return matching(/^[!#-~]*$/, "HOST=ADDRESS")(value, key, context);
  },
  "force-network-mode": (value, key, context) => {
    if (value === "host") throw new Refusal("network.host", "builds may not use the host's network: omit --network");
    return matching(/^(?:|default|sandbox|none)$/, "none or default")(value, key, context);
  },
  "shm-size": number,
  ulimit: (value, key, context) => {
    for (const limit of value.split(",")) refusePriorityUlimit(limit.split("=")[0] ?? "");
    return matching(/^[\w=:,-]*$/, "NAME=SOFT:HARD")(value, key, context);
  },
  hostname: matching(/^[\w.-]*$/, "the name of a host"),
  memory: number,
  memswap: matching(/^-?\d{0,18}$/, "a number"),
  cpushares: number,
  cpuperiod: number,
  cpuquota: matching(/^-?\d{0,18}$/, "a number"),
  cpusetcpus: matching(/^[\d,-]*$/, "a list of processors"),
  cpusetmems: (value) => {
    refuseNodes(value);
    return value;
  },
  // buildx sets it for --cache-from.
  "cache-imports": () => {
    throw noCacheImport();
  },
  "cgroup-parent": refused("cgroup.refused", "the guard chooses the cgroup of builds: omit --cgroup-parent"),
  // dockerfile.v0 reads the context's address from the attribute of this name, whichever that is. Only `context` is checked as an address.
  contextkey: (value, key, context) => {
    const expected = "the name of a folder of the client's, which no other attribute has";
    if (value !== "context" && Object.hasOwn(EXACT, value)) return matching(/^$/, expected)(value, key, context);
    return matching(/^[\w.-]{1,128}$/, expected)(value, key, context);
  },
  dockerfilekey: text,
  contextsubdir: text,
  // buildx sets it for BUILDKIT_SYNTAX.
  source: refused(
    "frontend.syntax",
    "builds may not choose the frontend that reads the Dockerfile here: omit BUILDKIT_SYNTAX",
  ),
  // The guard sets its own value, so that "# syntax=" is ignored.
  cmdline: omitted,
  requestid: matching(/^[\w./-]*$/, "the name of a request"),
  "frontend.caps": matching(/^[\w.,+/-]*$/, "names of capabilities"),
  context: (value, _key, { policy }) => {
    checkSource(value, policy);
    return value;
  },
};

const BUILD_ARG = "build-arg:";
/** The build argument that names a frontend, like `# syntax=` */
export const SYNTAX = "build-arg:BUILDKIT_SYNTAX";

/** Build arguments that the builder itself reads. All others that begin with BUILDKIT_ are refused. */
const BUILDKIT_ARGS: Readonly<Record<string, Checker>> = {
  BUILDKIT_INLINE_CACHE: flag,
  BUILDKIT_INLINE_BUILDINFO_ATTRS: flag,
  BUILDKIT_BUILDINFO: flag,
  BUILDKIT_MULTI_PLATFORM: flag,
  BUILDKIT_SANDBOX_HOSTNAME: matching(/^[\w.-]*$/, "the name of a host"),
  BUILDKIT_CONTEXT_KEEP_GIT_DIR: flag,
  BUILDKIT_DOCKERFILE_CHECK: text,
  BUILDKIT_GIT_ADVICE: flag,
  // The guard decides both: see own-attributes.ts.
  BUILDKIT_SYNTAX: omitted,
  BUILDKIT_CACHE_MOUNT_NS: omitted,
};

const PREFIXES: readonly (readonly [prefix: string, check: Checker])[] = [
  ["label:", text],
  ["vcs:", text],
  [
    "context:",
    (value, key, { policy }) => {
      if (/^(?:docker-image:\/\/|local:)/.test(value)) return value;
      if (/^(?:input|oci-layout):/.test(value)) {
        throw new Refusal(
          "context.refused",
          `"${key}=${value}": an additional build context must be a folder, an image or an address, not the result of another build or an OCI layout`,
        );
      }
      checkSource(value, policy);
      return value;
    },
  ],
  [
    "input-metadata:",
    refused(
      "frontend.inputs",
      "a build cannot use the result of another build directly: build that one first, and use its image",
    ),
  ],
  // buildx 0.31 and later set it for each folder of --build-context. It takes precedence over the key of the session, which contains the tenant.
  ["sharedkey:localdir:", text],
  ["local-sessionid:", (value, _key, { sessionOf }) => sessionOf(value)],
  ["attest:provenance", text],
  // Refused with any value: buildx sends nothing if it uses no scanner, and BuildKit does not know `disabled`. BuildKit runs the scanner in additional steps,
  // which run in no cgroup and were not checked, and the scanner's name may refer to one of the tenant's images.
  ["attest:sbom", refused("attest.sbom", "builds may not run an SBOM scanner here: omit --sbom")],
];

/**
 * Returns the attributes of a tenant for the frontend dockerfile.v0, checked one by one.
 *
 * @throws Refusal `frontend.attribute`, or the rule of an attribute
 */
export function checkAttributes(
  given: Readonly<Record<string, string>>,
  context: AttributeContext,
): Record<string, string> {
  const entries = Object.entries(given);
  if (entries.length > MAX_ATTRIBUTES) {
    throw new Refusal("frontend.attributes", `a build may have at most ${MAX_ATTRIBUTES} arguments and labels`);
  }
  const checked: Record<string, string> = {};
  for (const [key, value] of entries) {
    if (value.length > MAX_VALUE) {
      throw new Refusal("frontend.value", `the build's attribute "${key}" is longer than ${MAX_VALUE} characters`);
    }
    const found = checkerOf(key)(value, key, context);
    if (found !== undefined) checked[key] = found;
  }
  refuseBeyond(context.resources, requestedLimits(checked));
  return checked;
}

/** Returns the limits of steps, which BuildKit 0.33 (Docker 29.7) obeys, and the size of /dev/shm. */
function requestedLimits(attributes: Readonly<Record<string, string>>): RequestedLimits {
  const read = (key: string): number | undefined => Number(attributes[key]) || undefined;
  return {
    memory: read("memory"),
    memorySwap: read("memswap"),
    shmSize: read("shm-size"),
    cpuShares: read("cpushares"),
    cpuPeriod: read("cpuperiod"),
    cpuQuota: read("cpuquota"),
  };
}

function checkerOf(key: string): Checker {
  if (Object.hasOwn(EXACT, key)) return EXACT[key] ?? text;
  if (key.startsWith(BUILD_ARG)) {
    const name = key.slice(BUILD_ARG.length);
    if (Object.hasOwn(BUILDKIT_ARGS, name)) return BUILDKIT_ARGS[name] ?? text;
    if (!/^BUILDKIT_/i.test(name)) return text;
    return refused(
      "frontend.build-arg",
      `the build argument ${name} is an instruction to the builder that is not known to docker-over-ssh guard`,
    );
  }
  const [, check] = PREFIXES.find(([prefix]) => key.startsWith(prefix)) ?? [];
  return (
    check ??
    refused(
      "frontend.attribute",
      `the build's attribute "${key}" is not known to docker-over-ssh guard, which refuses what it cannot check`,
    )
  );
}
