import { createHmac, randomBytes } from "node:crypto";
import { Refusal } from "../refusal.ts";

/** Characters of an ID on the engine. It has more bits than a UUID. */
const ID_LENGTH = 40;

/** The engine's IDs for the IDs that tenants choose. Two tenants that choose the same ID get different ones, so guessing another tenant's ID is useless. */
export interface EngineIds {
  session(tenant: string, id: string): string;
  build(tenant: string, ref: string): string;
  /** Part of the cache key of each step with a command */
  cacheHost(tenant: string): string;
  cacheNamespace(tenant: string): string;
  sharedKey(tenant: string, key: string): string;
}

/** @param secret of this process, without which no tenant can compute an ID. Default: random */
export function engineIds(secret: Buffer = randomBytes(32)): EngineIds {
  const id = (kind: string, tenant: string, given: string): string =>
    createHmac("sha256", secret)
      .update(JSON.stringify([kind, tenant, given]))
      .digest("hex")
      .slice(0, ID_LENGTH);
  return {
    session: (tenant, given) => id("session", tenant, given),
    build: (tenant, ref) => id("build", tenant, ref),
    // These two must not change with a restart, or caches would be lost. They need not be secret, because only the guard can set them.
    cacheHost: (tenant) => `cache-${tenant}.guard.internal`,
    cacheNamespace: (tenant) => `guard-${tenant}`,
    // This also must not change with a restart: the builder compares a context with that of the last session with this key.
    sharedKey: (tenant, key) => `guard-${tenant}:${key}`,
  };
}

/** The ID of a session or a build, which a client chooses */
const ID = /^[\w.:-]{1,128}$/;

/** Refuses text that is not an ID. @param of `build` or `session` */
export function checkId(id: string, of: string): string {
  if (ID.test(id)) return id;
  throw new Refusal("grpc.id", `"${id.slice(0, 80)}" is not the ID of a ${of}`, { statusCode: 400 });
}
