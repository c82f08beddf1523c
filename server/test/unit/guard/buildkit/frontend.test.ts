import { create } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { solveFrontend } from "../../../../src/guard/buildkit/frontend.ts";
import { ResultSchema } from "../../../../src/guard/buildkit/gen/gateway_pb.ts";
import { engineIds } from "../../../../src/guard/buildkit/ids.ts";
import type { RunningBuild } from "../../../../src/guard/buildkit/builds.ts";
import { tenantOf } from "../../../fixtures/guard/tenants.ts";

test("a build asks for the steps of a Dockerfile a hundred times, and the engine is not asked once more", async () => {
  let asked = 0;
  const build = {
    plan: { engineRef: "ref", attributes: {} },
    support: { hasSourcePolicies: true },
    results: [],
    gateway: {
      solve: async () => {
        asked++;
        return await Promise.resolve({ result: create(ResultSchema) });
      },
    },
  } as unknown as RunningBuild;
  const signal = new AbortController().signal;
  const solve = async (): Promise<unknown> =>
    await solveFrontend(
      build,
      { attributes: {}, cacheImports: [], evaluates: false },
      { tenant: tenantOf("a"), ids: engineIds() },
      signal,
    );
  for (let count = 0; count < 100; count++) await solve();
  await expect(solve()).rejects.toMatchObject({ rule: "build.results" });
  expect(asked).toBe(100);
});
