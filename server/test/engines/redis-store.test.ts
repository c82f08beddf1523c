import { randomUUID } from "node:crypto";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll } from "vitest";
import { installPackages } from "../../../test/testbed/packages.ts";
import { openRedisStore } from "../../src/store/redis/open-redis-store.ts";
import { createSeal } from "../../src/store/seal.ts";
import { startRedis, type RedisServer } from "../fixtures/redis-server.ts";
import { storeContract } from "../fixtures/store-contract.ts";
import { DEFAULT_LIMITS, type StoreBed } from "../fixtures/store-contract/bed.ts";

let server: RedisServer;
const seal = createSeal(Buffer.alloc(32, 7));

beforeAll(async () => {
  await installPackages();
  server = await startRedis();
});
afterAll(async () => await server[Symbol.asyncDispose]());

storeContract("Redis", async () => {
  const prefix = `test-${randomUUID()}`;
  const data = join(server.folder, prefix);
  mkdirSync(data);
  const bed: StoreBed = {
    async open(limits) {
      return await openRedisStore({
        url: server.url,
        data,
        prefix,
        seal,
        retention: { age: 3_600_000, bytes: 1e9 },
        times: { lease: 1500, look: 500 },
        warn: (message) => {
          throw new Error(message);
        },
        ...DEFAULT_LIMITS,
        ...limits,
      });
    },
    async [Symbol.asyncDispose]() {},
  };
  return bed;
});
