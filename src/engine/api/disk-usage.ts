import type { DiskUsage } from "../engine-images.ts";
import type { DockerApi } from "./docker-api.ts";

/** The answer of `GET /system/df` (moby `api/docs/v1.41.yaml`, SystemDataUsage). Podman omits some parts. */
interface UsageAnswer {
  LayersSize?: number;
  Images?: { Size?: number; SharedSize?: number }[] | null;
  Containers?: { SizeRw?: number }[] | null;
  Volumes?: { UsageData?: { Size?: number } | null }[] | null;
  BuildCache?: { Size?: number; Shared?: boolean }[] | null;
}

export async function diskUsage(api: DockerApi, signal: AbortSignal | undefined): Promise<DiskUsage> {
  const answer = ((await api.json("GET", "/system/df", { signal, timeout: "work" })) ?? {}) as UsageAnswer;
  const { Images, Containers, Volumes, BuildCache } = answer;
  const ownLayers = total(Images, ({ Size = 0, SharedSize = 0 }) => Size - Math.max(0, SharedSize)); // -1: not counted
  return {
    images: answer.LayersSize || ownLayers,
    cache: total(BuildCache, ({ Size = 0, Shared }) => (Shared === true ? 0 : Size)),
    volumes: total(Volumes, ({ UsageData }) => Math.max(0, UsageData?.Size ?? 0)),
    containers: total(Containers, ({ SizeRw = 0 }) => SizeRw),
  };
}

function total<T>(all: readonly T[] | null | undefined, size: (item: T) => number): number {
  return (all ?? []).reduce((sum, item) => sum + size(item), 0);
}
