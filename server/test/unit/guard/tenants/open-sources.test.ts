import { expect, test } from "vitest";
import { EngineApi } from "../../../../src/guard/engine/engine-api.ts";
import { openSources } from "../../../../src/guard/tenants/open-sources.ts";
import { DEFAULTS } from "./changes-bed.ts";

const kubelet = { folder: "/var/lib/kubelet", volume: "docker-socket" };
const dependencies = { defaults: DEFAULTS, readConfig: async () => await Promise.resolve([]) };
const names = (sources: ReturnType<typeof openSources>): string[] => sources.map(({ name }) => name);

test("finds pods by the engine or by the kubelet's folder, which stays for a while after a pod's removal", async () => {
  await using engine = await EngineApi.prepare("unix:///run/none.sock", {});
  const pods = { listed: [], usesEnginePods: true, kubelet };
  expect(names(openSources(pods, { ...dependencies, engine }))).toEqual(["--kubernetes"]);
  expect(names(openSources({ ...pods, usesEnginePods: false }, { ...dependencies, engine }))).toEqual([
    "--kubelet-dir",
  ]);
});
