import { expect, test } from "vitest";
import type { BuildRequest } from "../../../../src/guard/build-request.ts";
import type { Caller } from "../../../../src/guard/caller.ts";
import { baseResolver, type BaseDependencies } from "../../../../src/guard/classic/bases.ts";
import type { EngineRequest } from "../../../../src/guard/engine/engine-api.ts";
import { Refusal } from "../../../../src/guard/refusal.ts";

const ID = `sha256:${"1".repeat(64)}`;
const signal = new AbortController().signal;

/** Returns a resolver for an engine with a containerd image store that has one image for two platforms. The one for arm64 has a trigger. */
function resolver({
  apiVersion = "1.51",
  hasContainerdStore = true,
  request = {},
}: { apiVersion?: string; hasContainerdStore?: boolean; request?: Partial<BuildRequest> } = {}) {
  const engine = {
    async json({ query = [] }: EngineRequest) {
      const platform = query.find(([key]) => key === "platform")?.[1] ?? "";
      const isArm = JSON.parse(platform || "{}").architecture === "arm64";
      // With a platform, the ID is that of its manifest, not of an image.
      return {
        Id: platform === "" ? ID : "sha256:2",
        Config: { Env: [], OnBuild: isArm ? ["COPY --from=secret / /"] : [] },
      };
    },
    version: async () => ({ apiVersion }),
  };
  const dependencies = {
    engine,
    own: { find: async () => ({ id: ID }) },
    hasContainerdStore: async () => hasContainerdStore,
    signal,
  } as unknown as BaseDependencies;
  return baseResolver({ tenant: { id: "a" }, signal } as Caller, request as BuildRequest, dependencies);
}

test("returns the triggers for the platform that FROM names", async () => {
  expect(await resolver()("own", "linux/arm64")).toMatchObject({
    id: ID,
    env: [],
    triggers: ["COPY --from=secret / /"],
  });
  expect(await resolver()("own")).toMatchObject({ id: ID, env: [], triggers: [] });
});

test("returns the triggers for the platform that the request names", async () => {
  const resolve = resolver({ request: { platform: "linux/arm64" } });
  expect((await resolve("own")).triggers).toHaveLength(1);
});

test("refuses a platform if the engine does not report its triggers", async () => {
  const resolve = resolver({ apiVersion: "1.48" });
  await expect(resolve("own", "linux/arm64")).rejects.toThrow(Refusal);
  await expect(resolve("own", "linux/arm64")).rejects.toMatchObject({ rule: "base.platform" });
  expect((await resolve("own")).id).toBe(ID);
});

test("refuses an incomplete platform, which the engine would complete itself", async () => {
  await expect(resolver()("own", "arm64")).rejects.toMatchObject({ rule: "base.platform", statusCode: 400 });
});

test("returns the only config of an ID with another image store", async () => {
  const resolve = resolver({ hasContainerdStore: false, apiVersion: "1.41" });
  expect(await resolve("own", "linux/arm64")).toMatchObject({ id: ID, env: [], triggers: [] });
});
