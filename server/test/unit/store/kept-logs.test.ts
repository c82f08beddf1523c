import { createHash, createHmac } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import { afterAll, expect, test } from "vitest";
import { openKeptLogs, type KeptLogs } from "../../../src/store/redis/kept-logs.ts";

const folder = mkdtempSync(join(tmpdir(), "kept-logs-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const ID = "01890000-0000-7000-8000-000000000000";
const KEY = { AWS_ACCESS_KEY_ID: "AKEXAMPLE", AWS_SECRET_ACCESS_KEY: "secret/key+1" };

async function* pieces(): AsyncGenerator<string> {
  yield "first\nsécond\n";
  yield "third\n";
}

async function isKept(logs: KeptLogs): Promise<void> {
  expect(await logs.read(ID, 0, 100)).toBeUndefined();
  await logs.write(ID, pieces());
  expect((await logs.read(ID, 0, 100))?.toString()).toBe("first\nsécond\nthird\n");
  expect((await logs.read(ID, 6, 8))?.toString()).toBe("sécond\n");
  expect((await logs.read(ID, 20, 10))?.length).toBe(0);
  await logs.write(ID, pieces());
  for (const id of ["../other", `${ID}/../x`, ""]) {
    await expect(logs.write(id, pieces())).rejects.toThrow("not the ID of a job");
    await expect(logs.read(id, 0, 1)).rejects.toThrow("not the ID of a job");
  }
}

test("stores logs as files", async () => {
  const logs = await openKeptLogs(join(folder, "logs"), {});
  await isKept(logs);
  expect(readdirSync(join(folder, "logs"))).toEqual([`${ID}.log`]);
  expect(statSync(join(folder, `logs/${ID}.log`)).mode & 0o777).toBe(0o600);
  const broken = (async function* () {
    yield "half";
    throw new Error("Redis is gone");
  })();
  await expect(logs.write(ID, broken)).rejects.toThrow("Redis is gone");
  expect(readdirSync(join(folder, "logs"))).toEqual([`${ID}.log`]);
  expect(readFileSync(join(folder, `logs/${ID}.log`), "utf8")).toContain("third");
});

test("stores logs as objects, with signed requests", async () => {
  await using store = await objectStore(KEY.AWS_SECRET_ACCESS_KEY);
  const env = { ...KEY, AWS_ENDPOINT_URL: store.url, AWS_REGION: "eu-test-1" };
  await isKept(await openKeptLogs("s3://builds/team a/logs/", env));
  expect([...store.objects.keys()]).toEqual([`/builds/team%20a/logs/${ID}.log`]);
});

test("fails with another key, which the object store refuses", async () => {
  await using store = await objectStore("another");
  const logs = await openKeptLogs("s3://builds", { ...KEY, AWS_ENDPOINT_URL: store.url });
  await expect(logs.write(ID, pieces())).rejects.toThrow(
    "s3://builds does not accept a log: 403 SignatureDoesNotMatch",
  );
  expect(store.objects.size).toBe(0);
});

test.each([
  ["s3://", KEY],
  ["s3://UPPER/x", KEY],
  ["s3://builds", {}],
  ["/dev/null/logs", {}],
])("rejects %s with %j", async (place, env) => {
  await expect(openKeptLogs(place, env)).rejects.toMatchObject({ code: "usage" });
});

/** A stand-in for an object store: it keeps objects in memory, and checks signatures by AWS Signature Version 4. */
async function objectStore(secret: string) {
  const objects = new Map<string, Buffer>();
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<unknown> => {
    const body = await buffer(request);
    const path = request.url ?? "";
    if (signatureOf(request, secret) !== /Signature=(\w+)/.exec(request.headers.authorization ?? "")?.[1]) {
      return response.writeHead(403).end("SignatureDoesNotMatch");
    }
    if (request.method === "PUT") {
      const hash = createHash("sha256").update(body).digest("hex");
      if (request.headers["x-amz-content-sha256"] !== hash) return response.writeHead(400).end("BadDigest");
      objects.set(path, body);
      return response.end();
    }
    const object = objects.get(path);
    const [, start = "0", end = ""] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? "") ?? [];
    if (object === undefined) return response.writeHead(404).end();
    if (Number(start) >= object.length) return response.writeHead(416).end();
    return response.writeHead(206).end(object.subarray(Number(start), Number(end) + 1));
  };
  const server = createServer((request, response) => void answer(request, response)).listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}/`,
    objects,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}

/** Returns the expected signature of a request, computed from its method, its path, and the headers that it names. */
function signatureOf({ method, url, headers }: IncomingMessage, secret: string): string {
  const [, scope = "", names = ""] =
    /Credential=[^/]+\/([^,]+), SignedHeaders=([^,]+)/.exec(headers.authorization ?? "") ?? [];
  const signed = names.split(";").map((name) => `${name}:${String(headers[name])}\n`);
  const content = String(headers["x-amz-content-sha256"]);
  const canonical = [method, url, "", signed.join(""), names, content].join("\n");
  const hash = createHash("sha256").update(canonical).digest("hex");
  const text = ["AWS4-HMAC-SHA256", headers["x-amz-date"], scope, hash].join("\n");
  const hmac = (key: string | Buffer, value: string): Buffer => createHmac("sha256", key).update(value).digest();
  return hmac(scope.split("/").reduce<string | Buffer>(hmac, `AWS4${secret}`), text).toString("hex");
}
