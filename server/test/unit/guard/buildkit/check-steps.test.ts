import { create, toBinary, type MessageInitShape } from "@bufbuild/protobuf";
import { describe, expect, test } from "vitest";
import { checkBases } from "../../../../src/guard/buildkit/check-bases.ts";
import { definitionsOf } from "../../../../src/guard/buildkit/results.ts";
import { ownBases } from "../../../../src/guard/buildkit/own-bases.ts";
import { knownResult } from "../../../../src/guard/buildkit/gateway-service.ts";
import { sourcePolicy } from "../../../../src/guard/buildkit/source-policy.ts";
import { checkSteps, type StepRules, type UsedBase } from "../../../../src/guard/buildkit/check-steps.ts";
import {
  DefinitionSchema,
  OpMetadataSchema,
  OpSchema,
  type Definition,
  type ExecOp,
  type ExecOpSchema,
  type LinuxResources,
  type LinuxResourcesSchema,
} from "../../../../src/guard/buildkit/gen/ops_pb.ts";
import { ResultSchema } from "../../../../src/guard/buildkit/gen/gateway_pb.ts";
import { strictTenant } from "../../../fixtures/guard/buildkit-tenant.ts";

type OpInit = MessageInitShape<typeof OpSchema>["op"];

function steps(...ops: OpInit[]): Definition {
  return create(DefinitionSchema, {
    def: ops.map((op) => toBinary(OpSchema, create(OpSchema, { ...(op && { op }) }))),
  });
}

const RULES: StepRules = {
  policy: strictTenant().policy,
  resources: { ulimits: [], memory: 1000, cpus: 0.5 },
  sessions: new Set(["engine-session"]),
  cgroupParent: "/pod",
  ulimits: ["nofile=9"],
  cacheNamespace: "guard-ta",
  cacheHost: "cache-ta.guard.internal",
};
const NOFILE = { Name: "nofile", Soft: 9n, Hard: 9n };
const META = {
  cgroupParent: "/pod",
  extraHosts: [{ Host: "cache-ta.guard.internal", IP: "127.0.0.1" }],
  ulimit: [NOFILE],
};

function exec(change: Exclude<MessageInitShape<typeof ExecOpSchema>, ExecOp> = {}): OpInit {
  return { case: "exec", value: { meta: META, ...change } };
}

/** Returns properties with the tenant's own host and another one. */
function withHost(Host: string): { meta: NonNullable<MessageInitShape<typeof ExecOpSchema>["meta"]> } {
  return { meta: { ...META, extraHosts: [...META.extraHosts, { Host, IP: "127.0.0.1" }] } };
}

function source(identifier: string, attrs: Record<string, string> = {}): OpInit {
  return { case: "source", value: { identifier, attrs } };
}

describe("checkSteps", () => {
  test("accepts the steps of a plain Dockerfile", async () => {
    const plain = steps(
      source("docker-image://docker.io/library/a:1", { "image.resolvemode": "pull" }),
      source("local://context", { "local.session": "engine-session" }),
      exec(withHost("db.example")),
      exec({ mounts: [{ mountType: 3, cacheOpt: { ID: "guard-ta//root/.cache" } }, { mountType: 1 }] }),
      { case: "file", value: {} },
      { case: undefined },
    );
    expect(await checkSteps(plain, RULES)).toEqual([
      { reference: "docker.io/library/a:1", resolveMode: "pull", platform: undefined },
    ]);
  });

  test.for<[rule: string, op: OpInit, rules?: Partial<StepRules>]>([
    ["network.host", exec({ network: 1 })],
    ["network.host", exec({ network: 7 })],
    ["network.refused", exec(), { policy: strictTenant({ hasNetwork: false }).policy }],
    ["security.insecure", exec({ security: 1 })],
    ["device.refused", exec({ cdiDevices: [{ name: "vendor.example/gpu=0" }] })],
    ["cgroup.unsupported", exec({ meta: { ...META, cgroupParent: "" } })],
    ["cgroup.refused", exec(), { cgroupParent: undefined }],
    ["ulimit.unsupported", exec({ meta: { ...META, ulimit: [] } })],
    ["ulimit.unsupported", exec({ meta: { ...META, ulimit: [{ ...NOFILE, Hard: 10n }] } })],
    ["ulimit.unsupported", exec({ meta: { ...META, ulimit: [NOFILE, { ...NOFILE, Soft: -1n, Hard: -1n }] } })],
    ["cache.salt", exec({ meta: { ...META, extraHosts: [] } })],
    ["cache.salt", exec({ meta: { ...META, extraHosts: [{ Host: "cache-tb.guard.internal" }] } })],
    ["build.extra-hosts", exec(withHost("cache-tb.guard.internal"))],
    ["build.extra-hosts", exec(withHost("Cache-Tb.Guard.Internal."))],
    ["build.extra-hosts", exec(withHost("guard.internal")), { cacheHost: undefined }],
    // Its own host, which it has when it shares no cache, is also refused.
    ["build.extra-hosts", exec(), { cacheHost: undefined }],
    ["mount.cache", exec({ mounts: [{ mountType: 3, cacheOpt: { ID: "guard-tb//x" } }] })],
    ["mount.cache", exec({ mounts: [{ mountType: 3 }] })],
    ["mount.type", exec({ mounts: [{ mountType: 5 }] })],
    ["mount.type", exec({ mounts: [{ mountType: -1 }] })],
    ["session.foreign", source("local://context", { "local.session": "other" })],
    ["session.foreign", source("local://context")],
    ["source.attribute", source("local://context", { "local.new": "x" })],
    ["source.kind", source("oci-layout://x")],
    ["source.kind", source("constructor://x")],
    ["source.refused", source("https://example.com/x")],
    ["source.refused", source("git://example.com/x.git#main", { "git.fullurl": "https://example.com/x.git" })],
    ["llb.step", { case: "build", value: {} }],
    ["llb.step", { case: "passthrough", value: {} }],
  ])("applies the rule %s", async ([rule, op, rules]) => {
    await expect(checkSteps(steps(op), { ...RULES, ...rules })).rejects.toMatchObject({ rule });
  });

  describe("with limits of steps", () => {
    type Limits = Exclude<MessageInitShape<typeof LinuxResourcesSchema>, LinuxResources>;
    const limited = (linuxResources: Limits): Definition =>
      create(DefinitionSchema, {
        def: steps(exec()).def,
        metadata: { one: {}, other: { linuxResources } },
      });

    test("accepts limits within the tenant's", async () => {
      const limits = { memory: 1000n, memorySwap: 1000n, cpuShares: 1024n, cpuQuota: 50_000n, cpusetCpus: "0" };
      expect(await checkSteps(limited(limits), RULES)).toEqual([]);
    });

    test.for<[rule: string, limits: Limits]>([
      ["build.memory", { memory: 1001n }],
      ["build.memory", { memorySwap: -1n }],
      ["build.memory", { memorySwap: 1001n }],
      ["build.cpus", { cpuShares: 1025n }],
      ["build.cpus", { cpuShares: 2n ** 64n - 1n }],
      ["build.cpus", { cpuPeriod: 1n }],
      ["build.cpus", { cpuQuota: 50_001n }],
      ["build.cpus", { cpuPeriod: 10_000n, cpuQuota: 5001n }],
      ["build.cpusetmems", { cpusetMems: "0" }],
    ])("refuses larger limits by %s", async ([rule, limits]) => {
      await expect(checkSteps(limited(limits), RULES)).rejects.toMatchObject({ rule });
    });

    test("refuses unknown limits", async () => {
      const definition = limited({});
      const about = create(OpMetadataSchema);
      about.$unknown = [{ no: 8, wireType: 0, data: new Uint8Array([1]) }];
      definition.metadata["third"] = about;
      await expect(checkSteps(definition, RULES)).rejects.toMatchObject({ rule: "grpc.unknown-field" });
    });
  });

  test("accepts at most 20,000 steps", async () => {
    const many = create(DefinitionSchema, { def: Array.from({ length: 20_001 }, () => new Uint8Array()) });
    await expect(checkSteps(many, RULES)).rejects.toMatchObject({ rule: "llb.steps" });
  });

  test("accepts a git repository if the address that is fetched is allowed", async () => {
    const policy = strictTenant({ sources: ["https://example.com/"] }).policy;
    const git = source("git://example.com/x.git#main", { "git.fullurl": "https://evil.example/x.git" });
    await expect(checkSteps(steps(git), { ...RULES, policy })).rejects.toMatchObject({ rule: "source.refused" });
    expect(await checkSteps(steps(source("git://example.com/x.git#main")), { ...RULES, policy })).toEqual([]);
  });

  test("refuses a step with an unknown field", async () => {
    const op = create(OpSchema, { op: { case: "exec", value: { meta: META } } });
    if (op.op.case === "exec") op.op.value.$unknown = [{ no: 50, wireType: 0, data: new Uint8Array([1]) }];
    const definition = create(DefinitionSchema, { def: [toBinary(OpSchema, op)] });
    await expect(checkSteps(definition, RULES)).rejects.toMatchObject({ rule: "grpc.unknown-field" });
  });

  test("lets other calls run while it checks a long Dockerfile", async () => {
    let turns = 0;
    const timer = setInterval(() => turns++, 0);
    await checkSteps(steps(...Array.from({ length: 5000 }, () => exec())), RULES);
    clearInterval(timer);
    expect(turns).toBeGreaterThan(5);
  });
});

const ID = `sha256:${"a".repeat(64)}`;
const OTHER = `sha256:${"b".repeat(64)}`;
const OWN = ownBases("ta", [
  {
    id: ID,
    names: ["guard.internal/ta/docker.io/library/app:1", "guard.internal/tb/docker.io/library/x:1"],
    created: 0,
    size: 0,
  },
]);

async function bases(
  references: string[],
  { policy = {}, isNew = true, resolveMode = "", digest = "", onHost = [] as string[] } = {},
): Promise<{ mustPull: boolean }> {
  const used = references.map((reference): UsedBase => ({ reference, resolveMode, platform: undefined }));
  return checkBases(used, {
    policy: strictTenant(policy).policy,
    own: OWN,
    support: { hasSourcePolicies: isNew },
    isOnHost: async (name) => onHost.includes(name),
    digestOf: async () => digest,
  });
}

describe("bases", () => {
  test.for<[reference: string, policy?: object]>([
    ["docker.io/library/app:1"],
    ["guard.internal/ta/docker.io/library/app:1"],
    [`guard.internal/ta/docker.io/library/app:1@${ID}`],
    ["docker.io/library/alpine:3", { bases: ["docker.io/library/alpine"] }],
    [`docker.io/library/alpine:3@${ID}`, { bases: ["docker.io/library/alpine"] }],
  ])("%s is allowed", async ([reference, policy]) => {
    await expect(bases([reference], { policy })).resolves.toEqual({ mustPull: false });
  });

  test.for<[rule: string, reference: string, policy?: object]>([
    ["base.refused", "docker.io/library/alpine:3"],
    ["base.refused", "docker.io/library/app:2"],
    ["base.refused", "index.docker.io/library/app:1"], // no source policy maps this text, so it names the registry's image
    ["base.refused", `docker.io/library/app@${ID}`],
    ["name.reserved", "guard.internal/tb/docker.io/library/x:1"],
    ["name.reserved", "guard.internal/ta/docker.io/library/other:1"],
    ["name.reserved", `guard.internal/ta/docker.io/library/app:1@${OTHER}`],
  ])("%s refuses %s", async ([rule, reference, policy]) => {
    await expect(bases([reference], { policy })).rejects.toMatchObject({ rule });
  });

  test("a digest after an allowed tag is refused unless the builder has added it", async () => {
    const policy = { bases: ["docker.io/library/alpine:3"] };
    const reference = `docker.io/library/alpine:3@${ID}`;
    await expect(bases([reference], { policy, digest: ID })).resolves.toEqual({ mustPull: false });
    await expect(bases([reference], { policy, digest: OTHER })).rejects.toMatchObject({ rule: "base.refused" });
  });

  test("an image of a registry is pulled even if the host has it", async () => {
    const policy = { pulls: ["r.example/*"] };
    await expect(bases(["r.example/a:1"], { policy, resolveMode: "local" })).resolves.toEqual({ mustPull: true });
    await expect(bases(["r.example/a:1"], { policy, resolveMode: "pull" })).resolves.toEqual({ mustPull: false });
    await expect(bases(["r.example/a:1", "docker.io/library/app:1"], { policy })).rejects.toMatchObject({
      rule: "base.mixed",
    });
  });

  test("a registry in a private network is refused unless the policy names it", async () => {
    const reference = `127.0.0.1:5000/a:1@${ID}`;
    await expect(bases([reference], { policy: { pulls: ["*"] } })).rejects.toMatchObject({
      rule: "registry.not-public",
    });
    const named = { pulls: ["*", "127.0.0.1:5000/a:1"] };
    await expect(bases([reference], { policy: named })).resolves.toEqual({ mustPull: true });
    const pinned = { pulls: [`127.0.0.1:5000/a@${ID}`] };
    await expect(bases([reference], { policy: pinned })).resolves.toEqual({ mustPull: true });
  });

  test("a base in a private network is refused unless the policy names it or the host has it", async () => {
    const policy = { bases: ["*"] };
    const reference = `127.0.0.1:5000/a:1@${ID}`;
    await expect(bases([reference], { policy })).rejects.toMatchObject({ rule: "registry.not-public" });
    await expect(bases([reference], { policy, onHost: ["127.0.0.1:5000/a:1"] })).resolves.toEqual({ mustPull: false });
    await expect(bases([reference], { policy: { bases: ["127.0.0.1:5000/*"] } })).resolves.toEqual({ mustPull: false });
  });

  test("a digest of a registry's image is accepted if the registry answers for its tag", async () => {
    const policy = { pulls: ["r.example/*"] };
    const resolved: string[] = [];
    const check = async (reference: string): Promise<unknown> =>
      checkBases([{ reference, resolveMode: "pull", platform: undefined }], {
        policy: strictTenant(policy).policy,
        own: OWN,
        support: { hasSourcePolicies: true },
        isOnHost: async () => false,
        digestOf: async (_, name) => {
          resolved.push(name);
          if (name.includes("private")) throw new Error("401 Unauthorized");
          return OTHER;
        },
      });
    await expect(check(`r.example/a:1@${ID}`)).resolves.toEqual({ mustPull: false });
    await expect(check(`r.example/private:1@${ID}`)).rejects.toThrow("401 Unauthorized");
    await expect(check(`r.example/a@${ID}`)).rejects.toMatchObject({ rule: "base.digest-alone" });
    expect(resolved).toEqual(["r.example/a:1", "r.example/private:1"]);
  });

  test("the tenant's own image is refused on an old engine", async () => {
    await expect(bases(["docker.io/library/app:1"], { isNew: false })).rejects.toMatchObject({
      rule: "base.own-unsupported",
    });
  });
});

test("the source policy denies everything that is not allowed, and maps the tenant's names", () => {
  const { rules } = sourcePolicy(
    "ta",
    strictTenant({
      bases: ["docker.io/library/alpine:3.*", "*.example.com/*"],
      sources: ["https://files.example"],
    }).policy,
    OWN,
  );
  const decide = (identifier: string): string => {
    let decision = "allow";
    for (const { action, selector, updates } of rules) {
      const regex = new RegExp(selector?.identifier ?? "(?!)");
      if (!regex.test(identifier)) continue;
      if (action === 2) return identifier.replace(regex, (updates?.identifier ?? "").replace("${1}", "$1"));
      decision = action === 0 ? "allow" : "deny";
    }
    return decision;
  };
  expect(decide("docker-image://docker.io/library/alpine:3.20")).toBe("allow");
  expect(decide("docker-image://docker.io/library/alpine:4")).toBe("deny");
  expect(decide("docker-image://evil.example/docker.io/library/alpine:3.20")).toBe("deny");
  expect(decide("docker-image://docker.io/library/app:1")).toBe(
    "docker-image://guard.internal/ta/docker.io/library/app:1",
  );
  expect(decide("docker-image://guard.internal/ta/docker.io/library/app:1")).toBe("allow");
  expect(decide("docker-image://guard.internal/tb/docker.io/library/x:1")).toBe("deny");
  expect(decide("docker-image://docker.io/library/app:12")).toBe("deny");
  expect(decide("docker-image://sub.example.com/app:1")).toBe("allow");
  expect(decide("docker-image://evil.example/sub.example.com/app:1")).toBe("deny");
  expect(decide("https://files.example/app")).toBe("allow");
  expect(decide("git://files.example/app")).toBe("allow");
  expect(decide("https://files.example.evil.example/app")).toBe("deny");
  expect(decide("https://example.com/")).toBe("deny");
  expect(decide("oci-layout://x")).toBe("deny");
  expect(decide("local://context")).toBe("allow");
});

describe("a result", () => {
  const known = create(ResultSchema, {
    result: { case: "ref", value: { id: "r1", def: toBinary(DefinitionSchema, steps(exec())) } },
    metadata: { "containerimage.config": Buffer.from("{}") },
  });

  test("that a client returns is replaced with the frontend's", () => {
    const forged = create(ResultSchema, {
      result: { case: "ref", value: { id: "r1" } },
      metadata: { "containerimage.config": Buffer.from('{"forged":true}') },
    });
    expect(knownResult({ results: [known] }, forged)).toBe(known);
    const old = create(ResultSchema, { result: { case: "refDeprecated", value: "r1" } });
    expect(knownResult({ results: [known] }, old)).toBe(known);
  });

  test.for([
    { result: { case: "ref" as const, value: { id: "r2" } } },
    { result: { case: "refs" as const, value: { refs: { a: { id: "r1" }, b: { id: "r2" } } } } },
    { metadata: { "containerimage.config": Buffer.from("{}") } },
  ])("that the frontend has not created is refused", (given) => {
    expect(() => knownResult({ results: [known] }, create(ResultSchema, given))).toThrow(
      expect.objectContaining({ rule: "result.forged" }),
    );
  });

  test("of a client that only queries the builder's features is empty", () => {
    expect(knownResult({ results: [] }, undefined)).toEqual(create(ResultSchema));
  });

  test("without its steps is refused", () => {
    const blind = create(ResultSchema, { result: { case: "ref", value: { id: "r1" } } });
    const old = create(ResultSchema, { result: { case: "refDeprecated", value: "r1" } });
    for (const result of [blind, old]) {
      expect(() => definitionsOf(result)).toThrow(expect.objectContaining({ rule: "llb.missing" }));
    }
    const attested = create(ResultSchema, {
      attestations: { a: { attestation: [{ ref: { id: "r1", def: toBinary(DefinitionSchema, steps(exec())) } }] } },
    });
    expect(definitionsOf(attested)).toHaveLength(1);
  });
});
