import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseReference } from "docker-over-ssh/builds";
import { afterEach, expect, onTestFinished, test } from "vitest";
import type { ApiObject, PushOptions } from "../../../../src/guard/backend.ts";
import type { Caller } from "../../../../src/guard/caller.ts";
import { checkEngineIsHere, checkPush } from "../../../../src/guard/push/check-push.ts";
import { openPusher } from "../../../../src/guard/push/pusher.ts";
import type { Tenant } from "../../../../src/guard/tenant.ts";
import { noPushBytes } from "../../../../src/guard/limits/refusals.ts";
import {
  askAt,
  digestOf,
  LAYER,
  MANIFEST_TYPE,
  pathOf,
  pushOneLayer,
  standInEngine,
  type PushScript,
} from "../../../fixtures/guard/pushing-engine.ts";
import {
  REGISTRY_USER,
  startStandInRegistry,
  type StandInOptions,
  type StandInRegistry,
} from "../../../fixtures/guard/stand-in-registry.ts";

const image = { id: `sha256:${"1".repeat(64)}`, names: [], created: 0, size: 0 };
const closing: AsyncDisposable[] = [];

afterEach(async () => {
  for (const one of closing.splice(0).toReversed()) await one[Symbol.asyncDispose]();
});

async function registryWith(options: StandInOptions = {}): Promise<StandInRegistry> {
  const registry = await startStandInRegistry(options);
  closing.push(registry);
  return registry;
}

interface Run {
  host: string;
  script?: PushScript;
  credentials?: PushOptions["credentials"];
  pushes?: string[];
  registryConfig?: string;
  quota?: number;
  signal?: AbortSignal;
}

/** Pushes `HOST/team/app:v1` as a tenant. */
async function run({
  host,
  script = pushOneLayer,
  credentials,
  pushes,
  registryConfig,
  quota = Infinity,
  signal,
}: Run) {
  const engine = standInEngine(script);
  let counted = 0;
  const limits = {
    countPushed: (_: unknown, bytes: number) => {
      counted += bytes;
      if (counted > quota) throw noPushBytes(quota, 0);
    },
  };
  const pusher = openPusher({ engine, limits, env: {}, owner: "/data", certificates: "/nonexistent" });
  closing.push(pusher);
  const tenant = { id: "a", policy: { pushes: pushes ?? [`${host}/team/*`] }, registryConfig };
  const caller = { tenant, signal: signal ?? new AbortController().signal, note: {} } as unknown as Caller;
  const lines: ApiObject[] = [];
  const reference = parseReference(`${host}/team/app:v1`);
  await pusher.push(caller, image, reference, { credentials, onLine: (line) => lines.push(line) });
  return { engine, lines, counted, note: caller.note, error: lines.at(-1)?.["error"] };
}

test("pushes a layer and its manifest, and says so in the tenant's words", async () => {
  const registry = await registryWith();
  const { engine, lines, counted } = await run({ host: registry.host });
  const manifest = registry.manifests.get("team/app:v1");
  const digest = digestOf(manifest ?? Buffer.alloc(0));
  expect(registry.blobs.get(digestOf(LAYER))).toEqual(LAYER);
  expect(counted).toBe(LAYER.length);
  expect(lines).toEqual([
    { status: `The push refers to repository [${registry.host}/team/app]` },
    { status: "Preparing", progressDetail: {}, id: "aaaaaaaaaaaa" },
    { status: `v1: digest: ${digest} size: ${manifest?.length}` },
    { progressDetail: {}, aux: { Tag: "v1", Digest: digest, Size: manifest?.length } },
  ]);
  expect([...engine.names]).toEqual([]);
});

test("does not pass on the mount of another repository", async () => {
  const registry = await registryWith();
  await run({ host: registry.host });
  expect(registry.asked.filter((line) => line.startsWith("POST"))).toEqual(["POST /v2/team/app/blobs/uploads/"]);
});

test("sends nothing that the registry has", async () => {
  const registry = await registryWith();
  registry.blobs.set(digestOf(LAYER), LAYER);
  expect((await run({ host: registry.host })).counted).toBe(0);
});

test.for(["basic", "token"] as const)("logs in by %s, with credentials that the engine does not get", async (auth) => {
  const registry = await registryWith({ auth });
  const { engine, error } = await run({ host: registry.host, credentials: REGISTRY_USER });
  expect(error).toBeUndefined();
  expect(registry.manifests.size).toBe(1);
  expect(engine.auths.join()).not.toContain("secret");
});

test("asks for a token that may push, once for all requests", async () => {
  const registry = await registryWith({ auth: "token" });
  await run({ host: registry.host, credentials: REGISTRY_USER });
  expect(
    registry.tokenQueries.map((query) => [query.get("scope"), query.get("service"), query.get("account")]),
  ).toEqual([["repository:team/app:pull,push", "tests", "user"]]);
});

test("asks with an identity token", async () => {
  const registry = await registryWith({ auth: "token" });
  const credentials = { username: "", password: "", identityToken: "identity" };
  expect((await run({ host: registry.host, credentials })).error).toBeUndefined();
  expect(registry.tokenForms[0]?.get("grant_type")).toBe("refresh_token");
});

test("asks for another token when the registry no longer takes one", async () => {
  const registry = await registryWith({ auth: "token", tokenUses: 2 });
  const script: PushScript = async function* (ask, at) {
    for (let round = 0; round < 6; round++)
      yield { status: String((await ask("HEAD", `${at}/blobs/${digestOf(LAYER)}`)).status) };
  };
  const { lines } = await run({ host: registry.host, credentials: REGISTRY_USER, script });
  expect(lines.slice(1).map(({ status }) => status)).toEqual(Array(6).fill("404"));
  expect(registry.tokens).toBe(3);
});

test("gives up when the registry takes no token", async () => {
  const registry = await registryWith({ auth: "token", tokenUses: 0 });
  const { error, note } = await run({ host: registry.host, credentials: REGISTRY_USER });
  expect(error).toContain("unauthorized");
  expect(note.rule).toBe("push.denied");
  expect(registry.asked.length).toBeLessThan(12);
});

test("the guard's credentials come before the tenant's", async () => {
  const registry = await registryWith({ auth: "basic" });
  const folder = mkdtempSync(join(tmpdir(), "dos-guard-push-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const registryConfig = join(folder, "config.json");
  writeFileSync(registryConfig, JSON.stringify({ auths: { [registry.host]: { auth: btoa("user:secret") } } }));
  const credentials = { username: "tenant", password: "wrong" };
  expect((await run({ host: registry.host, credentials, registryConfig })).error).toBeUndefined();
  writeFileSync(registryConfig, "{");
  await expect(run({ host: registry.host, credentials: REGISTRY_USER, registryConfig })).rejects.toMatchObject({
    rule: "push.credentials",
    message: expect.not.stringContaining(folder) as string,
  });
});

test.for([
  ["basic", /^unauthorized: authentication required$/],
  ["token", /the token service of .* has answered with status 401: the credentials are not accepted/],
] as const)("tells wrong credentials: %s", async ([auth, words]) => {
  const registry = await registryWith({ auth });
  const { error, note } = await run({ host: registry.host, credentials: { username: "user", password: "wrong" } });
  expect(error).toMatch(words);
  expect(note.rule).toBe("push.denied");
  expect(registry.manifests.size).toBe(0);
});

test("ends a push that has used up its quota, without another try of the engine", async () => {
  const registry = await registryWith();
  const script: PushScript = async function* (ask, at) {
    for (;;) {
      const started = await ask("POST", `${at}/blobs/uploads/`);
      yield { status: (await ask("PATCH", pathOf(started), { body: LAYER })).body };
    }
  };
  const { error, engine, note } = await run({ host: registry.host, script, quota: 100 });
  expect(error).toContain("the bytes that may be pushed in 24 hours are used up");
  expect(note.rule).toBe("quota.push-bytes");
  expect(registry.blobs.size).toBe(0);
  expect([...engine.names]).toEqual([]);
});

test("tells the registry's reason where a layer has another digest", async () => {
  const registry = await registryWith();
  const script: PushScript = async function* (ask, at) {
    const started = await ask("POST", `${at}/blobs/uploads/`);
    const put = await ask("PUT", `${pathOf(started)}?digest=${digestOf(LAYER)}`, { body: Buffer.from("other") });
    yield { error: put.body };
  };
  expect((await run({ host: registry.host, script })).error).toBe("digest invalid: not this digest");
});

test.for([
  ["its uploads", { uploadsAt: "http://127.0.0.1:1" }],
  ["its token service", { auth: "token", realm: "http://127.0.0.1:1/token" }],
] as const)("does not follow a registry that has %s elsewhere, without HTTPS", async ([, options]) => {
  const registry = await registryWith(options);
  const { error, note } = await run({ host: registry.host, credentials: REGISTRY_USER });
  expect(error).toContain("http://127.0.0.1:1, which is not the registry");
  expect(note.rule).toBe("push.foreign-address");
});

test("does not follow a redirect to elsewhere", async () => {
  const registry = await registryWith({
    answer: ({ method }, response) => {
      if (method !== "HEAD") return false;
      response.writeHead(307, { location: "http://169.254.169.254/latest/meta-data" }).end();
      return true;
    },
  });
  expect((await run({ host: registry.host })).note.rule).toBe("push.foreign-address");
});

test.for(["127.0.0.1", "localhost"])(
  "reaches nothing inside of the network unless policy names the host: %s",
  async (name) => {
    const registry = await registryWith();
    const { note } = await run({ host: registry.host.replace("127.0.0.1", name), pushes: ["*"] });
    expect(note.rule).toBe("push.not-public");
    expect(registry.asked).toEqual([]);
  },
);

test("refuses what policy does not have, and says what it has", async () => {
  const pushes = ["registry.example.com/team/*"];
  await expect(run({ host: "other.example.com", pushes })).rejects.toMatchObject({
    rule: "push.refused",
    statusCode: 403,
    message: '"other.example.com/team/app:v1" may not be pushed from here; what may be: registry.example.com/team/*',
  });
});

test.for([
  ["reading a blob", "GET", (at: string) => `${at}/blobs/${digestOf(LAYER)}`],
  ["another tag", "PUT", (at: string) => `${at}/manifests/latest`],
  ["another repository", "HEAD", () => `/v2/team/app/blobs/${digestOf(LAYER)}`],
  ["a path upwards", "HEAD", (at: string) => `${at}/../../team/app/blobs/${digestOf(LAYER)}`],
  ["the tags", "GET", (at: string) => `${at}/tags/list`],
  ["the removal of a manifest", "DELETE", (at: string) => `${at}/manifests/${digestOf(LAYER)}`],
] as const)("does not answer what is no push: %s", async ([, method, path]) => {
  const registry = await registryWith();
  const script: PushScript = async function* (ask, at) {
    yield { status: String((await ask(method, path(at))).status) };
  };
  const { lines } = await run({ host: registry.host, script });
  expect(lines.at(-1)).toEqual({ status: "404" });
  expect(registry.asked).toEqual(["GET /v2/"]);
});

test.for([
  ["with another digest", `manifests/${digestOf(LAYER)}`, MANIFEST_TYPE, Buffer.from("{}"), "has another digest"],
  ["of 4 MB", "", MANIFEST_TYPE, Buffer.alloc(4 * 1024 * 1024 + 1), "larger than 4 MB"],
  ["of the first schema", "", "application/vnd.docker.distribution.manifest.v1+json", Buffer.from("{}"), "not pushed"],
] as const)("does not pass on a manifest %s", async ([, under, type, body, words]) => {
  const registry = await registryWith();
  const script: PushScript = async function* (ask, at, tag) {
    const path = `${at}/${under === "" ? `manifests/${tag}` : under}`;
    yield { error: (await ask("PUT", path, { headers: { "content-type": type }, body })).body };
  };
  expect((await run({ host: registry.host, script })).error).toContain(words);
  expect(registry.manifests.size).toBe(0);
});

test("pushes no digest, and nothing with an engine elsewhere", () => {
  const tenant = { policy: { pushes: ["*"] } } as unknown as Tenant;
  const check = (given: string) => () => checkPush(tenant, parseReference(given));
  expect(check("team/app:v1")).not.toThrow();
  for (const name of ["team/app", "team/app:v1"])
    expect(check(`${name}@sha256:${"1".repeat(64)}`)).toThrow(expect.objectContaining({ rule: "push.digest" }));
  expect(() => checkEngineIsHere({ reachesUs: true })).not.toThrow();
  expect(() => checkEngineIsHere({ reachesUs: false })).toThrow(
    expect.objectContaining({ rule: "push.engine-elsewhere" }),
  );
});

test("asks everybody for the password of a push", async () => {
  const registry = await registryWith();
  const statuses: number[] = [];
  const script: PushScript = async function* (ask, at, tag) {
    const { headers } = await ask("POST", `${at}/blobs/uploads/`);
    const url = headers.location ?? "";
    for (const authorization of ["", `Basic ${btoa(`${tag}:`)}`, `Basic ${btoa(`${tag}:wrong`)}`])
      statuses.push((await askAt(url, "PATCH", { headers: { authorization } })).status);
    yield { status: "done" };
  };
  await run({ host: registry.host, script });
  expect(statuses).toEqual([401, 401, 401]);
});

test("shows nothing of where the registry keeps uploads", async () => {
  const registry = await registryWith();
  const locations: (string | undefined)[] = [];
  const script: PushScript = async function* (ask, at) {
    const started = await ask("POST", `${at}/blobs/uploads/`);
    const patched = await ask("PATCH", pathOf(started), { body: LAYER });
    locations.push(started.headers.location, patched.headers.location);
    yield { status: patched.headers["range"] ?? "" };
  };
  const { lines } = await run({ host: registry.host, script });
  expect(locations.join()).not.toContain("_state");
  expect(locations.join()).not.toContain(registry.host);
  expect(lines.at(-1)).toEqual({ status: `0-${LAYER.length - 1}` });
});

test("says so when the engine does not reach the guard", async () => {
  const registry = await registryWith();
  const script: PushScript = async function* () {
    yield { error: 'Get "http://127.0.0.1:1/v2/": dial tcp 127.0.0.1:1: connect: connection refused' };
  };
  expect((await run({ host: registry.host, script })).note.rule).toBe("push.engine-elsewhere");
});

test("removes the temporary name when the client goes", async () => {
  const registry = await registryWith();
  const client = new AbortController();
  const script: PushScript = async function* () {
    client.abort(new Error("the client has gone"));
    yield await new Promise<object>(() => {});
  };
  const engine = standInEngine(script);
  const pusher = openPusher({
    engine,
    limits: { countPushed: () => {} },
    env: {},
    owner: "/data",
    certificates: "/nonexistent",
  });
  closing.push(pusher);
  const caller = { tenant: { id: "a", policy: { pushes: [`${registry.host}/*`] } }, signal: client.signal, note: {} };
  const pushed = pusher.push(caller as unknown as Caller, image, parseReference(`${registry.host}/team/app:v1`), {
    onLine: () => {},
  });
  await expect(pushed).rejects.toThrow("the client has gone");
  expect([...engine.names]).toEqual([]);
});

test("removes what a crash has left, and nothing else", async () => {
  const registry = await registryWith();
  const left: string[] = [];
  const script: PushScript = async function* (_, at, tag) {
    left.push(
      `127.0.0.1:7${at.replace("/v2", "")}:${tag}`,
      `127.0.0.1:7${at.replace("/v2", "")}@sha256:${"2".repeat(64)}`,
    );
    yield { status: "done" };
  };
  await run({ host: registry.host, script });
  const engine = standInEngine();
  const others = ["app:v1", "127.0.0.1:5000/docker-over-ssh-guard/app:v1"];
  for (const name of [...left, ...others]) engine.names.add(name);
  const limits = { countPushed: () => {} };
  const signal = new AbortController().signal;
  await openPusher({ engine, limits, env: {}, owner: "/other" }).removeLeftovers(signal);
  expect([...engine.names]).toEqual([...left, ...others]);
  await openPusher({ engine, limits, env: {}, owner: "/data" }).removeLeftovers(signal);
  expect([...engine.names]).toEqual(others);
});

test("does not wait for a registry that switches to another protocol", async () => {
  const registry = await registryWith({
    answer: ({ socket }) => {
      socket.write("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: other\r\n\r\n");
      return true;
    },
  });
  expect((await run({ host: registry.host })).error).toContain("the connection was closed before an answer");
});

test("leaves it to the engine to try again what a registry has had too much of", async () => {
  const statuses: number[] = [];
  const registry = await registryWith({
    answer: ({ method }, response) => {
      if (method !== "POST" || statuses.length > 0) return false;
      response.writeHead(429).end();
      return true;
    },
  });
  const script: PushScript = async function* (ask, at) {
    for (let round = 0; round < 2; round++) statuses.push((await ask("POST", `${at}/blobs/uploads/`)).status);
    yield { status: "done" };
  };
  expect((await run({ host: registry.host, script })).error).toBeUndefined();
  expect(statuses).toEqual([429, 202]);
});
