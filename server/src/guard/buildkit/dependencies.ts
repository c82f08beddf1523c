import type { EngineIds } from "./ids.ts";
import type { AuditLog } from "../audit/entry.ts";
import type { CacheRecords } from "./cache-records.ts";
import type { EngineApi } from "../engine/engine-api.ts";
import type { OwnImages } from "../images/own-images.ts";
import type { Limits } from "../limits/limits.ts";
import type { Tenant } from "../tenant.ts";

/** The dependencies of the guarded BuildKit. */
export interface BuildkitOptions {
  engine: EngineApi;
  own: Pick<OwnImages, "list" | "take">;
  limits: Pick<Limits, "startBuild">;
  audit: AuditLog;
  cacheRecords: CacheRecords;
  /** Returns the cgroup under which a tenant's steps run, or undefined for the engine's. */
  cgroupParentOf: (tenant: Tenant) => Promise<string | undefined>;
}

export interface BuildkitDependencies extends BuildkitOptions {
  ids: EngineIds;
}
