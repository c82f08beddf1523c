import type { EngineApi } from "../engine/engine-api.ts";

/** What manages the cgroups of containers, and so decides how cgroups are named. */
export interface CgroupDriver {
  /** With systemd, a parent is a slice, e.g. `tenants.slice`; with cgroupfs a path, e.g. `/tenants/a`. `none`: a rootless engine without cgroups. */
  name: "cgroupfs" | "systemd" | "none";
}

/** Asks the engine. */
export async function engineCgroupDriver(engine: EngineApi, signal: AbortSignal): Promise<CgroupDriver> {
  const info = (await engine.json({ method: "GET", path: "/info", signal })) as { CgroupDriver?: unknown } | undefined;
  const { CgroupDriver: name } = info ?? {};
  return { name: name === "systemd" || name === "none" ? name : "cgroupfs" };
}
