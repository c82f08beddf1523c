import { parseReference } from "docker-over-ssh/builds";
import { expect, test } from "vitest";
import { checkPush } from "../../../../src/guard/push/check-push.ts";
import { checkEngineIsLocal } from "../../../../src/guard/push/check-push.ts";
import type { Tenant } from "../../../../src/guard/tenant.ts";
import {
  sendTo,
  digestOf,
  LAYER,
  MANIFEST_TYPE,
  pathOf,
  type PushScript,
} from "../../../fixtures/guard/pushing-engine.ts";
import { usePushBed } from "../../../fixtures/guard/push-bed.ts";
import { REGISTRY_USER } from "../../../fixtures/guard/stand-in-registry.ts";

const { push, registryWith } = usePushBed();

test("ends a push that has used up its quota, without a retry by the engine", async () => {
  const registry = await registryWith();
  const script: PushScript = async function* (send, at) {
    for (;;) {
      const started = await send("POST", `${at}/blobs/uploads/`);
      yield { status: (await send("PATCH", pathOf(started), { body: LAYER })).body };
    }
  };
  const { error, engine, note } = await push({ host: registry.host, script, quota: 100 });
  expect(error).toContain("this tenant has pushed all bytes that it may push in 24 hours");
  expect(note.rule).toBe("quota.push-bytes");
  expect(registry.blobs.size).toBe(0);
  expect([...engine.names]).toEqual([]);
});

test.for([
  ["its uploads", { uploadsAt: "http://127.0.0.1:1" }],
  ["its token service", { auth: "token", realm: "http://127.0.0.1:1/token" }],
] as const)("does not follow a registry that has %s on another host without HTTPS", async ([, options]) => {
  const registry = await registryWith(options);
  const { error, note } = await push({ host: registry.host, credentials: REGISTRY_USER });
  expect(error).toContain("http://127.0.0.1:1, which is not the registry");
  expect(note.rule).toBe("push.foreign-address");
});

test("does not follow a redirect to another host", async () => {
  const registry = await registryWith({
    answer: ({ method }, response) => {
      if (method !== "HEAD") return false;
      response.writeHead(307, { location: "http://169.254.169.254/latest/meta-data" }).end();
      return true;
    },
  });
  expect((await push({ host: registry.host })).note.rule).toBe("push.foreign-address");
});

test.for(["127.0.0.1", "localhost"])(
  "reaches no private address unless the policy names the host: %s",
  async (name) => {
    const registry = await registryWith();
    const { note } = await push({ host: registry.host.replace("127.0.0.1", name), pushes: ["*"] });
    expect(note.rule).toBe("push.not-public");
    expect(registry.requests).toEqual([]);
  },
);

test("refuses a name that the policy does not allow, and lists the allowed ones", async () => {
  const pushes = ["registry.example.com/team/*"];
  await expect(push({ host: "other.example.com", pushes })).rejects.toMatchObject({
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
] as const)("does not answer a request that is not part of a push: %s", async ([, method, path]) => {
  const registry = await registryWith();
  const script: PushScript = async function* (send, at) {
    yield { status: String((await send(method, path(at))).status) };
  };
  const { lines } = await push({ host: registry.host, script });
  expect(lines.at(-1)).toEqual({ status: "404" });
  expect(registry.requests).toEqual(["GET /v2/"]);
});

test.for([
  ["with another digest", `manifests/${digestOf(LAYER)}`, MANIFEST_TYPE, Buffer.from("{}"), "has another digest"],
  ["of 4 MB", "", MANIFEST_TYPE, Buffer.alloc(4 * 1024 * 1024 + 1), "larger than 4 MB"],
  ["of the first schema", "", "application/vnd.docker.distribution.manifest.v1+json", Buffer.from("{}"), "not pushed"],
] as const)("does not pass on a manifest %s", async ([, under, type, body, words]) => {
  const registry = await registryWith();
  const script: PushScript = async function* (send, at, tag) {
    const path = `${at}/${under === "" ? `manifests/${tag}` : under}`;
    yield { error: (await send("PUT", path, { headers: { "content-type": type }, body })).body };
  };
  expect((await push({ host: registry.host, script })).error).toContain(words);
  expect(registry.manifests.size).toBe(0);
});

test("refuses a digest, and an engine on another machine", () => {
  const tenant = { policy: { pushes: ["*"] } } as unknown as Tenant;
  const check = (given: string) => () => checkPush(tenant, parseReference(given));
  expect(check("team/app:v1")).not.toThrow();
  for (const name of ["team/app", "team/app:v1"])
    expect(check(`${name}@sha256:${"1".repeat(64)}`)).toThrow(expect.objectContaining({ rule: "push.digest" }));
  expect(() => checkEngineIsLocal({ reachesUs: true })).not.toThrow();
  expect(() => checkEngineIsLocal({ reachesUs: false })).toThrow(
    expect.objectContaining({ rule: "push.engine-elsewhere" }),
  );
});

test("requires the password of a push in each request", async () => {
  const registry = await registryWith();
  const statuses: number[] = [];
  const script: PushScript = async function* (send, at, tag) {
    const { headers } = await send("POST", `${at}/blobs/uploads/`);
    const url = headers.location ?? "";
    for (const authorization of ["", `Basic ${btoa(`${tag}:`)}`, `Basic ${btoa(`${tag}:wrong`)}`])
      statuses.push((await sendTo(url, "PATCH", { headers: { authorization } })).status);
    yield { status: "done" };
  };
  await push({ host: registry.host, script });
  expect(statuses).toEqual([401, 401, 401]);
});
