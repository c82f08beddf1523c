import { create, fromBinary, toBinary, type MessageInitShape } from "@bufbuild/protobuf";
import { describe, expect, test } from "vitest";
import { checkMessage } from "../../../../src/guard/buildkit/check-message.ts";
import { engineIds } from "../../../../src/guard/buildkit/ids.ts";
import { planFrontend } from "../../../../src/guard/buildkit/frontend.ts";
import { planSolve, type SolvePlan } from "../../../../src/guard/buildkit/solve-plan.ts";
import { withOwnAttributes } from "../../../../src/guard/buildkit/own-attributes.ts";
import { SolveRequestSchema, type SolveRequest } from "../../../../src/guard/buildkit/gen/control_pb.ts";
import { SolveRequestSchema as FrontendSchema } from "../../../../src/guard/buildkit/gen/gateway_pb.ts";
import type { Resources } from "../../../../src/guard/policy/policy.ts";
import { strictTenant } from "../../../fixtures/guard/buildkit-tenant.ts";

const ids = engineIds(Buffer.alloc(32));
const SOLVE = "/moby.buildkit.v1.Control/Solve";

type Change = Exclude<MessageInitShape<typeof SolveRequestSchema>, SolveRequest>;

function plan(change: Change, policy = {}): SolvePlan {
  return planSolve(
    create(SolveRequestSchema, { ref: "ref1", session: "s1", cache: {}, ...change }),
    strictTenant(policy),
    ids,
  );
}

const DEFINITION = { def: [new Uint8Array([1])] };

describe("planSolve", () => {
  test("replaces IDs with the guard's, which differ for another tenant's equal ID", () => {
    const { engineRef, engineSession } = plan({});
    expect(engineRef).not.toContain("ref1");
    expect(engineSession).toBe(ids.session("ta", "s1"));
    expect(ids.session("tb", "s1")).not.toBe(engineSession);
    expect(ids.build("ta", "s1")).not.toBe(engineSession);
  });

  test.for<[rule: string, change: Change]>([
    ["llb.raw", { definition: DEFINITION }],
    ["frontend.inputs", { frontendInputs: { context: DEFINITION } }],
    ["entitlement.refused", { entitlements: ["security.insecure"] }],
    ["network.host", { entitlements: ["network.host"] }],
    ["source-policy.refused", { sourcePolicy: {} }],
    ["source-policy.refused", { sourcePolicySession: "s1" }],
    ["network.proxy", { proxyNetwork: true }],
    ["frontend.refused", { frontend: "gateway.v0" }],
    ["grpc.id", { ref: "a\nb" }],
    ["grpc.id", { ref: "" }],
    ["exporter.several", { exporters: [{ type: "moby" }, { type: "local" }] }],
    ["exporter.type", { exporters: [{ type: "evil" }] }],
    ["exporter.push", { exporters: [{ type: "image", attrs: { name: "a", push: "true" } }] }],
    ["exporter.attribute", { exporters: [{ type: "image", attrs: { "containerimage.config": "{}" } }] }],
    ["exporter.attribute", { exporterDeprecated: "image", exporterAttrsDeprecated: { "dangling-name-prefix": "x" } }],
    ["exporter.attribute", { exporters: [{ type: "local", attrs: { x: "" } }] }],
    ["exporter.names", { exporters: [{ type: "image", attrs: { name: "a,".repeat(101) } }] }],
    ["name.reserved", { exporters: [{ type: "moby", attrs: { name: "ok,guard.internal/tb/x" } }] }],
    ["cache.export", { cache: { exports: [{ type: "registry", attrs: { ref: "r.example/a" } }] } }],
    ["cache.export", { cache: { exportRefDeprecated: "r.example/a" } }],
    ["cache.export", { cache: { exportAttrsDeprecated: { mode: "max" } } }],
    ["cache.attribute", { cache: { exports: [{ type: "inline", attrs: { src: "/" } }] } }],
    ["name.digest", { exporters: [{ type: "moby", attrs: { name: `app@sha256:${"1".repeat(64)}` } }] }],
    ["cache.import", { cache: { imports: [{ type: "local" }] } }],
    ["cache.import", { cache: { importRefsDeprecated: ["r.example/a"] } }],
    ["cgroup.refused", { frontendAttrs: { "cgroup-parent": "/" } }],
    ["attest.sbom", { frontendAttrs: { "attest:sbom": "type=sbom,disabled=true" } }],
  ])("applies the rule %s", ([rule, change]) => {
    expect(() => plan(change)).toThrow(expect.objectContaining({ rule }));
    const bytes = toBinary(SolveRequestSchema, create(SolveRequestSchema, { ref: "r", cache: {}, ...change }));
    expect(() => checkMessage(SOLVE, bytes, strictTenant())).toThrow(expect.objectContaining({ rule }));
  });

  test("refuses an unknown field at any depth", () => {
    const unknown = [{ no: 99, wireType: 0, data: new Uint8Array([1]) }];
    const outer = create(SolveRequestSchema, { ref: "r" });
    outer.$unknown = unknown;
    const inner = create(SolveRequestSchema, { ref: "r", exporters: [{ type: "moby" }] });
    if (inner.exporters[0] !== undefined) inner.exporters[0].$unknown = unknown;
    for (const request of [outer, inner]) {
      const read = fromBinary(SolveRequestSchema, toBinary(SolveRequestSchema, request));
      expect(() => planSolve(read, strictTenant(), ids)).toThrow(
        expect.objectContaining({ rule: "grpc.unknown-field" }),
      );
    }
  });

  test("replaces each name of an image with the engine's name", () => {
    const { exporters } = plan({
      exporters: [{ type: "moby", attrs: { name: "app:1,r.example:5000/x", push: "false" } }],
    });
    expect(exporters).toEqual([
      {
        type: "moby",
        attrs: { name: "guard.internal/ta/docker.io/library/app:1,guard.internal/ta/r.example__5000/x:latest" },
      },
    ]);
  });

  test.for(["moby", "docker"])("omits the attributes that buildx sets for its own use on an output %s", (type) => {
    const { exporters } = plan({ exporters: [{ type, attrs: { "prefer-image-digest": "true" } }] });
    expect(exporters).toEqual([{ type, attrs: {} }]);
  });

  test("allows a cache in a registry if tenants share caches and the tenant may push there", () => {
    const cache = { exports: [{ type: "registry", attrs: { ref: "r.example/a" } }] };
    expect(plan({ cache }, { sharesCache: true, pushes: ["r.example/*"] }).cacheExports).toHaveLength(1);
    expect(() => plan({ cache }, { sharesCache: true })).toThrow(
      'written to "r.example/a": this tenant may not push there',
    );
  });

  test("refuses to import a cache, even if tenants share caches", () => {
    const refused = expect.objectContaining({ rule: "cache.import" }) as Error;
    for (const cache of [
      { imports: [{ type: "registry", attrs: { ref: "r.example/a" } }] },
      { importRefsDeprecated: ["r.example/a"] },
    ]) {
      expect(() => plan({ cache }, { sharesCache: true, pulls: ["r.example/*"] })).toThrow(refused);
    }
  });

  test("refuses a cache at an address that the policy does not name", () => {
    const entries = [{ type: "registry", attrs: { ref: "127.0.0.1:5000/a" } }];
    const refused = expect.objectContaining({ rule: "registry.not-public" }) as Error;
    const cache = { exports: entries };
    expect(() => plan({ cache }, { sharesCache: true, pushes: ["*"] })).toThrow(refused);
    expect(() => plan({ cache }, { sharesCache: true, pushes: ["127.0.0.1:5000/*"] })).not.toThrow();
  });
});

describe("planFrontend", () => {
  test.for<[rule: string, change: MessageInitShape<typeof FrontendSchema>]>([
    ["frontend.refused", { frontend: "" }],
    ["frontend.refused", { frontend: "gateway.v0", frontendOpt: { source: "evil/frontend" } }],
    ["llb.raw", { definition: DEFINITION }],
    ["frontend.inputs", { frontendInputs: { a: DEFINITION } }],
    ["source-policy.refused", { sourcePolicies: [{}] }],
    ["grpc.old", { final: true }],
    ["grpc.old", { exporterAttr: new Uint8Array([1]) }],
    ["cache.import", { cacheImports: [{ type: "registry" }] }],
    ["cache.import", { frontendOpt: { "cache-imports": "[]" } }],
    ["frontend.syntax", { frontendOpt: { source: "evil/frontend" } }],
    ["frontend.attribute", { frontendOpt: { device: "x" } }],
    ["frontend.attribute", { frontendOpt: { toString: "x" } }],
    ["frontend.attribute", { frontendOpt: { "input:base": "x" } }],
    ["frontend.inputs", { frontendOpt: { "input-metadata:0-a": "{}" } }],
    ["frontend.build-arg", { frontendOpt: { "build-arg:BUILDKIT_NEW": "x" } }],
    ["network.host", { frontendOpt: { "force-network-mode": "host" } }],
    ["context.refused", { frontendOpt: { "context:a": "input:b" } }],
    ["context.refused", { frontendOpt: { "context:a": "oci-layout://b" } }],
    ["source.refused", { frontendOpt: { "context:a": "https://example.com/x" } }],
    ["source.refused", { frontendOpt: { context: "https://example.com/x.git" } }],
    ["attest.sbom", { frontendOpt: { "attest:sbom": "generator=evil/scanner" } }],
    // BuildKit runs its scanner anyway.
    ["attest.sbom", { frontendOpt: { "attest:sbom": "disabled=true" } }],
    // BuildKit would read the context's address from these attributes.
    ["frontend.value", { frontendOpt: { contextkey: "vcs:source" } }],
    ["frontend.value", { frontendOpt: { contextkey: "target", target: "http://127.0.0.1/" } }],
    ["build.extra-hosts", { frontendOpt: { "add-hosts": "x=1.2.3.4,Cache-tb.Guard.Internal.=1.2.3.4" } }],
    ["frontend.value", { frontendOpt: { "add-hosts": '"x=1.2.3.4"' } }],
    ["frontend.value", { frontendOpt: { "add-hosts": "x=1.2.3.4\ny=1.2.3.4" } }],
    ["build.ulimits", { frontendOpt: { ulimit: "nofile=1:1,rtprio=99:99" } }],
    ["frontend.value", { frontendOpt: { "shm-size": "x" } }],
    ["frontend.value", { frontendOpt: { cpushares: "1e9" } }],
    ["build.cpus", { frontendOpt: { cpushares: "1025" } }],
    ["build.cpus", { frontendOpt: { cpuquota: "50001" } }],
    ["build.cpus", { frontendOpt: { cpuquota: "5001", cpuperiod: "10000" } }],
    ["build.cpus", { frontendOpt: { cpuperiod: "1" } }],
    ["build.cpusetmems", { frontendOpt: { cpusetmems: "0" } }],
    ["build.memory", { frontendOpt: { memory: "1001" } }],
    ["build.memory", { frontendOpt: { memswap: "-1" } }],
    ["build.memory", { frontendOpt: { "shm-size": "1001" } }],
    ["frontend.value", { frontendOpt: { "build-arg:A": "x".repeat(300_000) } }],
    [
      "frontend.attributes",
      { frontendOpt: Object.fromEntries(Array.from({ length: 2001 }, (_, index) => [`build-arg:A${index}`, ""])) },
    ],
    ["frontend.value", { frontendOpt: { platform: "linux/amd64,".repeat(20) } }],
  ])("applies the rule %s", ([rule, change]) => {
    const request = create(FrontendSchema, { frontend: "dockerfile.v0", ...change });
    const tenant = { ...strictTenant(), resources: { ulimits: [], memory: 1000, cpus: 0.5 } };
    expect(() => planFrontend(request, tenant, ids)).toThrow(expect.objectContaining({ rule }));
  });

  test("allows limits within the tenant's; for a tenant without limits, all except a larger share of processors", () => {
    const requested = { memory: "1000", memswap: "1000", cpushares: "1024", cpuquota: "50000", cpusetcpus: "0-1" };
    const plan = (frontendOpt: Record<string, string>, resources: Partial<Resources>) =>
      planFrontend(
        create(FrontendSchema, { frontend: "dockerfile.v0", frontendOpt }),
        { ...strictTenant(), resources: { ulimits: [], ...resources } },
        ids,
      ).attributes;
    expect(plan(requested, { memory: 1000, cpus: 0.5 })).toEqual(requested);
    expect(plan({ memory: "2000", memswap: "-1", cpuquota: "-1" }, {})).toHaveProperty("memory", "2000");
    expect(() => plan({ cpushares: "1025" }, {})).toThrow(expect.objectContaining({ rule: "build.cpus" }));
  });

  test("refuses an unknown field", () => {
    const request = create(FrontendSchema, { frontend: "dockerfile.v0" });
    request.$unknown = [{ no: 99, wireType: 0, data: new Uint8Array([1]) }];
    expect(() => planFrontend(request, strictTenant(), ids)).toThrow(
      expect.objectContaining({ rule: "grpc.unknown-field" }),
    );
  });

  test("accepts a folder of its client as the context", () => {
    for (const contextkey of ["context", "my-folder"]) {
      const request = create(FrontendSchema, { frontend: "dockerfile.v0", frontendOpt: { contextkey } });
      expect(planFrontend(request, strictTenant(), ids).attributes).toEqual({ contextkey });
    }
  });

  test("accepts keys for folders of its client, which buildx 0.31 and later send", () => {
    const frontendOpt = { "context:docs": "local:docs", "sharedkey:localdir:docs": "docs:1a2b" };
    const request = create(FrontendSchema, { frontend: "dockerfile.v0", frontendOpt });
    expect(planFrontend(request, strictTenant(), ids).attributes).toEqual(frontendOpt);
  });

  test("returns attributes that the guard's own attributes replace", () => {
    const tenant = { ...strictTenant({ hasNetwork: false }), resources: { ulimits: ["nofile=9:9"] } };
    const { attributes, syntax } = planFrontend(
      create(FrontendSchema, {
        frontend: "dockerfile.v0",
        frontendOpt: {
          "label:team": "b",
          "label:docker-over-ssh.guard.tenant": "tb",
          "build-arg:BUILDKIT_CACHE_MOUNT_NS": "guard-tb",
          "build-arg:BUILDKIT_SYNTAX": "evil/frontend",
          "build-arg:A": "1",
          "add-hosts": "x=1.2.3.4",
          cmdline: "",
          ulimit: "nofile=1:1,core=0:0",
        },
      }),
      tenant,
      ids,
    );
    expect(syntax).toBe("evil/frontend");
    expect(withOwnAttributes(attributes, { tenant, ids, cgroupParent: "/pod" })).toEqual({
      "label:team": "a",
      "label:docker-over-ssh.guard.tenant": "ta",
      "build-arg:BUILDKIT_CACHE_MOUNT_NS": "guard-ta",
      "build-arg:A": "1",
      "add-hosts": "x=1.2.3.4,cache-ta.guard.internal=127.0.0.1",
      "force-network-mode": "none",
      "cgroup-parent": "/pod",
      cmdline: "docker-over-ssh-guard",
      ulimit: "nofile=9:9,core=0:0",
    });
  });
});

test.for(["/moby.buildkit.v1.Control/ListenExternals", "/moby.buildkit.v1.frontend.LLBBridge/NewContainer", "/x/y"])(
  "refuses the call %s",
  (path) => {
    expect(() => checkMessage(path, new Uint8Array(), strictTenant())).toThrow(
      expect.objectContaining({ rule: "grpc.method" }),
    );
  },
);

test("refuses the history of builds", () => {
  expect(() => checkMessage("/moby.buildkit.v1.Control/ListenBuildHistory", new Uint8Array(), strictTenant())).toThrow(
    expect.objectContaining({ rule: "grpc.history" }),
  );
});

test("refuses an unknown field in every message", () => {
  const bytes = new Uint8Array([0xfa, 0x3f, 0x01, 0x78]); // field 1023
  expect(() => checkMessage("/moby.buildkit.v1.Control/Status", bytes, strictTenant())).toThrow(
    expect.objectContaining({ rule: "grpc.unknown-field" }),
  );
});

test("refuses bytes that are no message", () => {
  expect(() => checkMessage(SOLVE, new Uint8Array([0xff]), strictTenant())).toThrow(
    expect.objectContaining({ rule: "grpc.message", statusCode: 400 }),
  );
});
