import { expect, test } from "vitest";
import { digestOf, LAYER, pathOf, type PushScript } from "../../../fixtures/guard/pushing-engine.ts";
import { usePushBed } from "../../../fixtures/guard/push-bed.ts";

const { push, registryWith } = usePushBed();

test("pushes a layer and its manifest, and reports it with the tenant's names", async () => {
  const registry = await registryWith();
  const { engine, lines, counted } = await push({ host: registry.host });
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

test("drops the mount of another repository", async () => {
  const registry = await registryWith();
  await push({ host: registry.host });
  expect(registry.requests.filter((line) => line.startsWith("POST"))).toEqual(["POST /v2/team/app/blobs/uploads/"]);
});

test("sends no layer that the registry has", async () => {
  const registry = await registryWith();
  registry.blobs.set(digestOf(LAYER), LAYER);
  expect((await push({ host: registry.host })).counted).toBe(0);
});

test("reports the registry's reason if a layer has a different digest", async () => {
  const registry = await registryWith();
  const script: PushScript = async function* (send, at) {
    const started = await send("POST", `${at}/blobs/uploads/`);
    const put = await send("PUT", `${pathOf(started)}?digest=${digestOf(LAYER)}`, { body: Buffer.from("other") });
    yield { error: put.body };
  };
  expect((await push({ host: registry.host, script })).error).toBe("digest invalid: not this digest");
});

test("hides the registry's addresses of uploads from the engine", async () => {
  const registry = await registryWith();
  const locations: (string | undefined)[] = [];
  const script: PushScript = async function* (send, at) {
    const started = await send("POST", `${at}/blobs/uploads/`);
    const patched = await send("PATCH", pathOf(started), { body: LAYER });
    locations.push(started.headers.location, patched.headers.location);
    yield { status: patched.headers["range"] ?? "" };
  };
  const { lines } = await push({ host: registry.host, script });
  expect(locations.join()).not.toContain("_state");
  expect(locations.join()).not.toContain(registry.host);
  expect(lines.at(-1)).toEqual({ status: `0-${LAYER.length - 1}` });
});

test("reports an engine that does not reach the guard", async () => {
  const registry = await registryWith();
  const script: PushScript = async function* () {
    yield { error: 'Get "http://127.0.0.1:1/v2/": dial tcp 127.0.0.1:1: connect: connection refused' };
  };
  expect((await push({ host: registry.host, script })).note.rule).toBe("push.engine-elsewhere");
});

test("does not wait for a registry that switches to another protocol", async () => {
  const registry = await registryWith({
    answer: ({ socket }) => {
      socket.write("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: other\r\n\r\n");
      return true;
    },
  });
  expect((await push({ host: registry.host })).error).toContain("the connection was closed before an answer");
});

test("lets the engine retry a request that the registry has answered with 429", async () => {
  const statuses: number[] = [];
  const registry = await registryWith({
    answer: ({ method }, response) => {
      if (method !== "POST" || statuses.length > 0) return false;
      response.writeHead(429).end();
      return true;
    },
  });
  const script: PushScript = async function* (send, at) {
    for (let round = 0; round < 2; round++) statuses.push((await send("POST", `${at}/blobs/uploads/`)).status);
    yield { status: "done" };
  };
  expect((await push({ host: registry.host, script })).error).toBeUndefined();
  expect(statuses).toEqual([429, 202]);
});
