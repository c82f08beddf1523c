import { Failure } from "../../output/errors.ts";
import type { DockerApi } from "../api/docker-api.ts";
import type { BuildOrder } from "../engine-builder.ts";

/** The properties of the kernel in `GET /info` (moby `api/docs/v1.41.yaml`, SystemInfo). */
interface Info {
  MemoryLimit?: boolean;
  CpuCfsQuota?: boolean;
}

/**
 * Refuses an order with limits that the engine's kernel does not enforce: the engine would print a warning, and build without them.
 *
 * @throws Failure `usage`
 */
export async function refuseUnenforcedLimits(
  api: Pick<DockerApi, "json">,
  { memory, cpus }: BuildOrder,
): Promise<void> {
  const { MemoryLimit, CpuCfsQuota } = (await api.json("GET", "/info")) as Info;
  const unenforced = [
    ...(memory !== undefined && MemoryLimit === false ? ["memory"] : []),
    ...(cpus !== undefined && CpuCfsQuota === false ? ["cpus"] : []),
  ];
  if (unenforced.length === 0) return;
  throw new Failure("usage", `the engine cannot limit the ${unenforced.join(" and ")} of a build`, {
    expected: "an engine whose containers have the control groups for it (docker info warns about missing ones)",
    hint: "Enable them on the engine's machine (a rootless engine needs cgroup v2 with delegation), choose another engine, or build without the limit.",
  });
}
