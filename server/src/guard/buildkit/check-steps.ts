import { setImmediate as turn } from "node:timers/promises";
import { fromBinary, type MessageShape } from "@bufbuild/protobuf";
import { readUlimit } from "../policy/build-limits.ts";
import { checkSource } from "../policy/sources.ts";
import { Refusal } from "../refusal.ts";
import { refuseReservedHost } from "../images/reserved.ts";
import { refuseUnknownFields } from "./unknown-fields.ts";
import {
  OpMetadataSchema,
  OpSchema,
  type Definition,
  type ExecOp,
  type Mount,
  type OpMetadata,
  type SourceOp,
} from "./gen/ops_pb.ts";
import { refuseBeyond, refuseNodes } from "../policy/build-limits.ts";
import type { Policy, Resources } from "../policy/policy.ts";

/** The rules that the steps of a build must obey. */
export interface StepRules {
  policy: Policy;
  resources: Resources;
  /** The engine's IDs of the sessions whose files the build may read */
  sessions: ReadonlySet<string>;
  /** If undefined, builds run in the engine's default cgroup */
  cgroupParent: string | undefined;
  /** The tenant's ulimits, e.g. `nofile=1024:2048` */
  ulimits: readonly string[];
  /** The prefix of the IDs of cache mounts */
  cacheNamespace: string;
  /** A host that each step with a command must have, so that its cache key is the tenant's. If undefined, caches are shared */
  cacheHost: string | undefined;
}

/** A base that the steps use. */
export interface UsedBase {
  /** e.g. `docker.io/library/alpine:3.20@sha256:…` */
  reference: string;
  resolveMode: string;
  platform: MessageShape<typeof OpSchema>["platform"];
}

const NETWORK_NONE = 2;
const NETWORK_SANDBOX = 0;
const MOUNT_CACHE = 3;
const LAST_MOUNT_TYPE = 4;
/** Maximum steps of a build */
const MAX_STEPS = 20_000;
/** Steps that are checked in one turn, in some ms, before other calls get theirs */
const STEPS_AT_ONCE = 100;

/**
 * Checks the steps that a frontend has created from a Dockerfile, before any of them runs. Refuses unknown kinds and fields.
 *
 * @returns the images that the steps use, which the caller checks
 * @throws Refusal
 */
export async function checkSteps({ def, metadata }: Definition, rules: StepRules): Promise<UsedBase[]> {
  if (def.length > MAX_STEPS) throw new Refusal("llb.steps", `a build may have at most ${MAX_STEPS} steps`);
  const used: UsedBase[] = [];
  for (const [index, bytes] of def.entries()) {
    if (index % STEPS_AT_ONCE === 0) await turn();
    const base = checkStep(fromBinary(OpSchema, bytes), rules);
    if (base !== undefined) used.push(base);
  }
  for (const [index, about] of Object.values(metadata).entries()) {
    if (index % STEPS_AT_ONCE === 0) await turn();
    checkMetadata(about, rules);
  }
  return used;
}

/** Checks the metadata of a step, which is outside of the step and not part of its cache key. BuildKit 0.33 has the limits of steps in it. */
function checkMetadata(metadata: OpMetadata, { resources }: StepRules): void {
  refuseUnknownFields(OpMetadataSchema, metadata);
  const { linuxResources } = metadata;
  if (linuxResources === undefined) return;
  const { cpusetMems, memory, memorySwap, cpuShares, cpuPeriod, cpuQuota } = linuxResources;
  refuseNodes(cpusetMems);
  const limit = (value: bigint): number | undefined => Number(value) || undefined;
  refuseBeyond(resources, {
    memory: limit(memory),
    memorySwap: limit(memorySwap),
    cpuShares: limit(cpuShares),
    cpuPeriod: limit(cpuPeriod),
    cpuQuota: limit(cpuQuota),
  });
}

function checkStep(step: MessageShape<typeof OpSchema>, rules: StepRules): UsedBase | undefined {
  refuseUnknownFields(OpSchema, step);
  switch (step.op.case) {
    case undefined: // the last one, which names the step that is the result
    case "file":
    case "merge":
    case "diff":
      return undefined;
    case "exec":
      checkExec(step.op.value, rules);
      return undefined;
    case "source": {
      const base = checkSourceStep(step.op.value, rules);
      return base === undefined ? undefined : { ...base, platform: step.platform };
    }
    default:
      throw new Refusal("llb.step", `a step of the kind "${step.op.case}" may not be part of a build here`);
  }
}

function checkExec({ meta, network, security, cdiDevices, mounts }: ExecOp, rules: StepRules): void {
  const { policy, cgroupParent, cacheHost } = rules;
  if (network !== NETWORK_NONE && network !== NETWORK_SANDBOX) {
    throw new Refusal("network.host", "RUN may not use the host's network: omit --network=host");
  }
  if (!policy.hasNetwork && network !== NETWORK_NONE) {
    throw new Refusal("network.refused", "RUN has no network here: omit --network");
  }
  if (security !== 0) throw new Refusal("security.insecure", "RUN may not be privileged: omit --security=insecure");
  if (cdiDevices.length > 0) throw new Refusal("device.refused", "RUN gets no device here: omit --device");
  if (cgroupParent !== undefined && meta?.cgroupParent !== cgroupParent) {
    throw new Refusal(
      "cgroup.unsupported",
      "this engine's BuildKit cannot run steps in the cgroup of their tenant: use the classic builder (DOCKER_BUILDKIT=0)",
    );
  }
  if (cgroupParent === undefined && (meta?.cgroupParent ?? "") !== "") {
    throw new Refusal("cgroup.refused", "the guard chooses the cgroup of builds");
  }
  if (!rules.ulimits.map(readUlimit).every((limit) => isLimited(meta, limit))) {
    throw new Refusal(
      "ulimit.unsupported",
      "this engine's BuildKit does not limit the processes of steps: use the classic builder (DOCKER_BUILDKIT=0)",
    );
  }
  const hosts = meta?.extraHosts.map(({ Host }) => Host) ?? [];
  if (cacheHost !== undefined && !hosts.includes(cacheHost)) {
    throw new Refusal("cache.salt", "this engine's BuildKit does not keep the caches of tenants apart");
  }
  // With another tenant's host, a step would have a cache key of that tenant.
  for (const host of hosts) if (host !== cacheHost) refuseReservedHost(host);
  for (const mount of mounts) checkMount(mount, rules);
}

function isLimited(meta: ExecOp["meta"], [name, { soft, hard }]: ReturnType<typeof readUlimit>): boolean {
  const set = meta?.ulimit.filter(({ Name }) => Name === name) ?? [];
  return set.length > 0 && set.every(({ Soft, Hard }) => Number(Soft) === soft && Number(Hard) === hard);
}

function checkMount({ mountType, cacheOpt }: Mount, { cacheNamespace }: StepRules): void {
  if (mountType < 0 || mountType > LAST_MOUNT_TYPE) {
    throw new Refusal("mount.type", "a mount of RUN is of a type that is not known to docker-over-ssh guard");
  }
  if (mountType !== MOUNT_CACHE && cacheOpt === undefined) return;
  if (!cacheOpt?.ID.startsWith(`${cacheNamespace}/`)) {
    throw new Refusal("mount.cache", "a cache mount of RUN is not the tenant's");
  }
}

/** Attributes of sources (moby/buildkit, solver/pb/attr.go) */
const SOURCE_ATTRIBUTES: Readonly<Record<string, RegExp>> = {
  "docker-image": /^image\.(?:resolvemode|recordtype|layerlimit|checksum)$/,
  local:
    /^local\.(?:session|unique|includepattern|followpaths|excludepatterns|sharedkeyhint|metadatatransfer|metadatatransferexclude|differ)$/,
  http: /^http\.(?:checksum|filename|perm|uid|gid|authheadersecret)$/,
  git: /^git\.(?:advice|keepgitdir|fullurl|authheadersecret|authtokensecret|knownsshhosts|mountsshsock|checksum|skipsubmodules|mtime|fetchbycommit)$/,
};

function checkSourceStep({ identifier, attrs }: SourceOp, rules: StepRules): Omit<UsedBase, "platform"> | undefined {
  const [, scheme = ""] = /^([a-z-]+):\/\//.exec(identifier) ?? [];
  const kind = scheme === "https" ? "http" : scheme;
  const known = Object.hasOwn(SOURCE_ATTRIBUTES, kind) ? SOURCE_ATTRIBUTES[kind] : undefined;
  if (known === undefined) throw new Refusal("source.kind", `"${identifier}" may not be a source of a build here`);
  const unknown = Object.keys(attrs).find((key) => !known.test(key));
  if (unknown !== undefined) {
    throw new Refusal(
      "source.attribute",
      `the attribute "${unknown}" of "${identifier}" is not known to docker-over-ssh guard`,
    );
  }
  switch (kind) {
    case "docker-image":
      return {
        reference: identifier.slice("docker-image://".length),
        resolveMode: attrs["image.resolvemode"] ?? "",
      };
    case "local": {
      // Without a session, BuildKit would use the session of any build with the same step.
      if (!rules.sessions.has(attrs["local.session"] ?? "")) {
        throw new Refusal("session.foreign", "a build may only read files of its own session");
      }
      return undefined;
    }
    case "git":
      checkSource(attrs["git.fullurl"] ?? identifier.replace(/^git:/, "https:"), rules.policy);
      return undefined;
    default:
      checkSource(identifier, rules.policy);
      return undefined;
  }
}
