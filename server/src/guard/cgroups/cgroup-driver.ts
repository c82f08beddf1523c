import type { EngineApi } from "../engine/engine-api.ts";

/** The manager of containers' cgroups, which determines their names. */
export interface CgroupDriver {
  /**
   * With systemd, a parent is a slice, e.g. `tenants.slice`; with cgroupfs, a path, e.g. `/tenants/a`. `none`: a
   * rootless engine without cgroups.
   */
  name: "cgroupfs" | "systemd" | "none";
}

/** Queries the engine. */
export async function engineCgroupDriver(engine: EngineApi, signal: AbortSignal): Promise<CgroupDriver> {
  const info = (await engine.json({ method: "GET", path: "/info", signal })) as { CgroupDriver?: unknown } | undefined;
  const { CgroupDriver: name } = info ?? {};
  return { name: name === "systemd" || name === "none" ? name : "cgroupfs" };
}
