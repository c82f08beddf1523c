import { Readable } from "node:stream";
import { parseReference } from "docker-over-ssh/builds";
import { describe, expect, test } from "vitest";
import { openBuildNetwork } from "../../../../src/guard/buildah/build-network.ts";
import { createBuilds } from "../../../../src/guard/buildah/builds.ts";
import { ImageEvents } from "../../../../src/guard/buildah/image-events.ts";
import { createImages } from "../../../../src/guard/buildah/images.ts";
import { checkAddresses, pullBases } from "../../../../src/guard/buildah/pull-bases.ts";
import { checkHostOf } from "../../../../src/guard/policy/registry-host.ts";
import { userAt } from "../../../../src/guard/buildah/users.ts";
import type { BuildahDependencies } from "../../../../src/guard/buildah/dependencies.ts";
import type { OpenHome } from "../../../../src/guard/buildah/homes.ts";
import type { StoredImage } from "../../../../src/guard/buildah/stored-images.ts";
import type { Setup } from "../../../../src/guard/buildah/run-buildah.ts";
import { noSuchImage } from "../../../../src/guard/refusal.ts";
import { PLAIN_BUILD } from "../../../fixtures/guard/plain-build.ts";
import { callerOf, tenantOf } from "../../../fixtures/guard/tenants.ts";

const tenant = tenantOf("a");
const caller = callerOf(tenant);
const home = { folder: "/nonexistent", user: 0, tenant: "a" } as unknown as OpenHome;
const IMAGE: StoredImage = {
  id: `sha256:${"1".repeat(64)}`,
  names: ["docker.io/library/app:v1", "docker.io/library/app:v2"],
  created: new Date(0).toISOString(),
  config: {},
  layers: [],
  size: 5,
  isStamped: true,
  isOwn: true,
};

/** Returns the dependencies for a tenant whose storage has one image, and in which no program can run. */
function dependenciesWith(setup: Partial<Setup> = {}): BuildahDependencies {
  return {
    setup: { driver: "vfs", driverOptions: [], isolation: "oci", ...setup },
    homes: { of: async () => home },
    images: {
      async find(_home: unknown, name: string) {
        if (!/^(?:sha256:1|app:v[12])/.test(name)) throw noSuchImage(name);
        return IMAGE;
      },
      all: async () => [],
    },
    events: new ImageEvents(),
    limits: { countPushed: () => {} },
    ledger: { tenants: () => ["a"] },
    env: {},
    cgroupParentOf: () => undefined,
  } as unknown as BuildahDependencies;
}

describe("images", () => {
  const images = createImages(dependenciesWith());
  const push = { credentials: undefined, platform: undefined, onLine: () => {} };
  const pushAs = async (pushes: string[], name: string): Promise<unknown> =>
    createImages({
      ...dependenciesWith(),
      images: { find: async () => IMAGE } as unknown as BuildahDependencies["images"],
    }).push(callerOf({ ...tenant, policy: { ...tenant.policy, pushes } }), name, push);

  test.each<[rule: string, call: () => Promise<unknown>]>([
    ["name.digest", () => images.tag(caller, "app:v1", `app@sha256:${"1".repeat(64)}`)],
    ["image.unknown", () => images.tag(caller, "other:v1", "app:v3")],
    ["image.conflict", () => images.remove(caller, "sha256:1", { force: false, noPrune: false })],
    ["buildah.save", () => images.save(caller, ["app:v1", "app:v2"], {})],
    ["push.refused", () => pushAs(["r.example/*"], "other.example/app:v1")],
    ["registry.not-public", () => pushAs(["*"], "127.0.0.1:5000/app:v1")],
  ])("apply the rule %s", async (rule, call) => {
    await expect(call()).rejects.toMatchObject({ rule });
    await expect(call()).rejects.not.toHaveProperty("statusCode", 500);
  });
});

describe("builds", () => {
  const builds = createBuilds(dependenciesWith());
  const ignore = (): void => {};

  test("refuse a missing context, and refuse unsupported requests before they read the context", async () => {
    await expect(builds.build(caller, PLAIN_BUILD, undefined, ignore)).rejects.toMatchObject({ rule: "build.context" });
    await expect(
      builds.build(caller, { ...PLAIN_BUILD, builder: "buildkit" }, Readable.from([]), ignore),
    ).rejects.toMatchObject({ rule: "buildah.buildkit" });
    const names = [`app@sha256:${"1".repeat(64)}`];
    await expect(builds.build(caller, { ...PLAIN_BUILD, names }, Readable.from([]), ignore)).rejects.toMatchObject({
      rule: "name.digest",
    });
  });

  test("allow the policy's addresses in ADD, and unknown addresses only if steps have a network", () => {
    const check = (address: string, hasNetwork: boolean) => () =>
      checkAddresses(
        { images: [], addresses: [address] },
        { ...tenant.policy, hasNetwork, sources: ["https://a.example/"] },
      );
    expect(check("https://a.example/x", false)).not.toThrow();
    expect(check("https://b.example/x", true)).toThrow(expect.objectContaining({ rule: "source.refused" }));
    expect(check("$UNKNOWN", true)).not.toThrow();
    expect(check("$UNKNOWN", false)).toThrow(expect.objectContaining({ rule: "source.refused" }));
  });

  test("refuse ADD of an address if steps share buildah's network and may have none", async () => {
    const open = async (isolation: Setup["isolation"], fetches: boolean): Promise<unknown> =>
      openBuildNetwork(dependenciesWith({ isolation }), caller, home, { ...PLAIN_BUILD, network: "none" }, fetches);
    await expect(open("chroot", true)).rejects.toMatchObject({ rule: "buildah.network" });
    await expect(open("chroot", false)).resolves.toMatchObject({ sandbox: "none", steps: "host" });
    await expect(open("oci", false)).resolves.toMatchObject({ sandbox: "none", steps: "none" });
  });

  test("do not run if the requested network is not available", async () => {
    const dependencies = { ...dependenciesWith(), env: { PATH: "/nonexistent" } };
    await expect(openBuildNetwork(dependencies, caller, home, PLAIN_BUILD, false)).rejects.toMatchObject({
      rule: "buildah.network",
      statusCode: 501,
    });
  });

  test("fetch a base from a private network only if the policy names its host", async () => {
    const pull = async (needed: string): Promise<void> =>
      pullBases(dependenciesWith(), caller, home, PLAIN_BUILD, [needed], { signal: caller.signal, onLine: ignore });
    await expect(pull("127.0.0.1:5000/base")).rejects.toMatchObject({ rule: "registry.not-public" });
    await expect(pull("dir:/etc")).rejects.toMatchObject({ rule: "base.refused" });
    const named = parseReference("127.0.0.1:5000/base");
    await expect(checkHostOf(named, ["127.0.0.1:5000/*"])).resolves.toBeUndefined();
    await expect(checkHostOf(parseReference("localhost/base"), ["*"])).rejects.toMatchObject({
      rule: "registry.not-public",
    });
  });
});

test("assigns no user IDs that the kernel reserves", () => {
  expect(userAt(0)).toBe(2_147_483_648);
  expect(userAt(1)).toBe(2_147_483_648 + 65_536);
  expect(() => userAt(40_000)).toThrow(expect.objectContaining({ rule: "buildah.tenants" }));
});
