import { EngineError } from "../engine-error.ts";
import type { DockerApi } from "./docker-api.ts";

/** Lists the names of the volumes with a label. */
export async function findVolumes(api: DockerApi, label: string): Promise<string[]> {
  const found = (await api.json("GET", "/volumes", { query: { filters: { label: [label] } } })) as {
    Volumes?: { Name: string }[] | null;
  };
  return (found.Volumes ?? []).map(({ Name }) => Name);
}

/** Removes a volume. Returns false if a container uses it (409). */
export async function removeVolume(api: DockerApi, name: string): Promise<boolean> {
  try {
    await api.json("DELETE", `/volumes/${encodeURIComponent(name)}`, { effect: "removes" });
    return true;
  } catch (error) {
    if (error instanceof EngineError && error.status === 409) return false;
    if (error instanceof EngineError && error.status === 404) return true;
    throw error;
  }
}
