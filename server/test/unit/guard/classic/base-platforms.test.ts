import { expect, test } from "vitest";
import type { BuildRequest } from "../../../../src/guard/build-request.ts";
import type { Caller } from "../../../../src/guard/caller.ts";
import { baseResolver, type BaseParts } from "../../../../src/guard/classic/bases.ts";
import type { EngineRequest } from "../../../../src/guard/engine/engine-api.ts";
import { Refusal } from "../../../../src/guard/refusal.ts";

const ID = `sha256:${"1".repeat(64)}`;
const signal = new AbortController().signal;

/** An engine with one image for two platforms, as the containerd image store has it: that for arm64 has a trigger. */
function resolver({
  apiVersion = "1.51",
  hasContainerdStore = true,
  request = {},
}: { apiVersion?: string; hasContainerdStore?: boolean; request?: Partial<BuildRequest> } = {}) {
  const engine = {
    async json({ query = [] }: EngineRequest) {
      const platform = query.find(([key]) => key === "platform")?.[1] ?? "";
      const isArm = JSON.parse(platform || "{}").architecture === "arm64";
      // With a platform, the ID is that of its manifest, which is no image's.
      return {
        Id: platform === "" ? ID : "sha256:2",
        Config: { Env: [], OnBuild: isArm ? ["COPY --from=secret / /"] : [] },
      };
    },
    version: async () => ({ apiVersion }),
  };
  const parts = {
    engine,
    own: { find: async () => ({ id: ID }) },
    hasContainerdStore: async () => hasContainerdStore,
    signal,
  } as unknown as BaseParts;
  return baseResolver({ tenant: { id: "a" }, signal } as Caller, request as BuildRequest, parts);
}

test("the triggers of a base are those of the platform that FROM names", async () => {
  expect(await resolver()("own", "linux/arm64")).toMatchObject({
    id: ID,
    env: [],
    triggers: ["COPY --from=secret / /"],
  });
  expect(await resolver()("own")).toMatchObject({ id: ID, env: [], triggers: [] });
});

test("or that the request names", async () => {
  const resolve = resolver({ request: { platform: "linux/arm64" } });
  expect((await resolve("own")).triggers).toHaveLength(1);
});

test("an engine that does not tell them gets no platform", async () => {
  const resolve = resolver({ apiVersion: "1.48" });
  await expect(resolve("own", "linux/arm64")).rejects.toThrow(Refusal);
  await expect(resolve("own", "linux/arm64")).rejects.toMatchObject({ rule: "base.platform" });
  expect((await resolve("own")).id).toBe(ID);
});

test("a platform that the engine would complete itself is refused", async () => {
  await expect(resolver()("own", "arm64")).rejects.toMatchObject({ rule: "base.platform", statusCode: 400 });
});

test("elsewhere an ID has one config", async () => {
  const resolve = resolver({ hasContainerdStore: false, apiVersion: "1.41" });
  expect(await resolve("own", "linux/arm64")).toMatchObject({ id: ID, env: [], triggers: [] });
});
