import { afterAll, beforeAll } from "vitest";
import { installPackages } from "../../../test/testbed/packages.ts";
import { redisBed } from "../fixtures/redis-bed.ts";
import { startRedis, type RedisServer } from "../fixtures/redis-server.ts";
import { storeContract } from "../fixtures/store-contract.ts";

let server: RedisServer;
beforeAll(async () => {
  await installPackages();
  server = await startRedis();
});
afterAll(async () => await server[Symbol.asyncDispose]());

storeContract("Redis", async () => ({ ...redisBed(server), async [Symbol.asyncDispose]() {} }));
