import { Failure } from "../../output/errors.ts";
import type { DockerApi } from "../api/docker-api.ts";
import type { BuildOrder } from "../engine-builds.ts";

/** What `GET /info` says of the kernel (moby `api/docs/v1.41.yaml`, SystemInfo). */
interface Info {
  MemoryLimit?: boolean;
  CpuCfsQuota?: boolean;
}

/**
 * Refuses an order with limits that the engine's kernel does not hold: the engine prints a warning, and builds without them.
 *
 * @throws Failure `usage`
 */
export async function refuseUnheld(api: Pick<DockerApi, "json">, { memory, cpus }: BuildOrder): Promise<void> {
  const { MemoryLimit, CpuCfsQuota } = (await api.json("GET", "/info")) as Info;
  const unheld = [
    ...(memory !== undefined && MemoryLimit === false ? ["memory"] : []),
    ...(cpus !== undefined && CpuCfsQuota === false ? ["cpus"] : []),
  ];
  if (unheld.length === 0) return;
  throw new Failure("usage", `the engine there cannot limit the ${unheld.join(" and ")} of a build`, {
    expected: "an engine whose containers have control groups for it (docker info warns of those that are missing)",
    hint: "Turn them on there (a rootless engine needs cgroup v2 with delegation), choose another engine, or build without the limit.",
  });
}
