import { createHmac, randomBytes } from "node:crypto";
import { Refusal } from "../refusal.ts";

/** Characters of an ID on the engine: as many bits as a UUID has, and more. */
const LENGTH = 40;

/** The engine's IDs for IDs that tenants choose. The same ID of two tenants becomes two, so guessing another tenant's ID is useless. */
export interface EngineIds {
  session(tenant: string, id: string): string;
  build(tenant: string, ref: string): string;
  /** Part of the cache key of each step with a command */
  cacheHost(tenant: string): string;
  cacheNamespace(tenant: string): string;
  sharedKey(tenant: string, key: string): string;
}

/** @param secret of this process: no tenant can compute an ID. Left out: a random one */
export function engineIds(secret: Buffer = randomBytes(32)): EngineIds {
  const id = (kind: string, tenant: string, given: string): string =>
    createHmac("sha256", secret)
      .update(JSON.stringify([kind, tenant, given]))
      .digest("hex")
      .slice(0, LENGTH);
  return {
    session: (tenant, given) => id("session", tenant, given),
    build: (tenant, ref) => id("build", tenant, ref),
    // These two must survive a restart, or caches would be lost. They need not be secret: only the guard can set them.
    cacheHost: (tenant) => `cache-${tenant}.guard.internal`,
    cacheNamespace: (tenant) => `guard-${tenant}`,
    // Must survive a restart, too: the builder compares a context with that of the last session with this key.
    sharedKey: (tenant, key) => `guard-${tenant}:${key}`,
  };
}

/** An ID that a client makes: of a session or a build */
const ID = /^[\w.:-]{1,128}$/;

/** Refuses text that is not an ID. @param of `build` or `session` */
export function checkId(id: string, of: string): string {
  if (ID.test(id)) return id;
  throw new Refusal("grpc.id", `"${id.slice(0, 80)}" is not the ID of a ${of}`, { statusCode: 400 });
}
