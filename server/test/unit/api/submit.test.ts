import { readFile, readdir } from "node:fs/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parseNamePattern } from "docker-over-ssh/builds";
import { form, testAccess, testApp, testClient, type FormPart, type TestApp } from "../../fixtures/test-app.ts";

type Answer = Awaited<ReturnType<TestApp["app"]["inject"]>>;
const url = "/api/v2/builds";
const build = { name: "team/app:v2", dockerfile: "FROM scratch\n" };

const submit = (server: TestApp, payload: object | string, headers: Record<string, string> = {}): Promise<Answer> =>
  server.app.inject({ method: "POST", url, payload, headers: { "content-type": "application/json", ...headers } });

/** The names of fields that an answer refuses */
function refusedFields(answer: Answer): string[] {
  const { errors = [] } = answer.json<{ errors?: { field: string }[] }>();
  return errors.map(({ field }) => field).toSorted();
}

/** For what is refused: nothing of it is left, and the next test finds it empty. */
let refusing: TestApp;
beforeAll(() => void (refusing = testApp()));
afterAll(async () => await refusing[Symbol.asyncDispose]());

/** Nothing was accepted, and no file is left. */
async function expectNothingLeft({ store }: TestApp): Promise<void> {
  expect(store.added).toEqual([]);
  expect(await readdir(store.folder)).toEqual([]);
}

describe("JSON", () => {
  test("a Dockerfile is accepted with what is said and what is not", async () => {
    await using server = testApp();
    const answer = await submit(server, build);
    expect(answer.statusCode).toBe(202);
    const job = answer.json<{ id: string }>();
    expect(answer.headers["location"]).toBe(`${url}/${job.id}`);
    expect(job).toMatchObject({
      name: "team/app:v2",
      fullName: "docker.io/team/app:v2",
      owner: "anonymous",
      state: "queued",
      position: 0,
      source: { kind: "dockerfile", bytes: 13 },
      file: "Dockerfile",
      push: true,
      purge: true,
      noCache: false,
      limits: { network: "default" },
      hasCredentials: false,
      links: { logs: `${url}/${job.id}/logs` },
    });
    expect(await readFile((await server.store.bodyOf(job.id)) ?? "", "utf8")).toBe(build.dockerfile);
  });

  test("everything else that can be said", async () => {
    await using server = testApp({ hasWebhookSecret: true });
    const all = {
      name: "registry.example.com:5000/team/app",
      archiveUrl: "https://files.example.com/app.tar.gz",
      file: "docker/Dockerfile",
      strip: 1,
      target: "final",
      buildArgs: { VERSION: "1", EMPTY: "" },
      labels: { "com.example.team": "a" },
      platform: "linux/arm64",
      noCache: true,
      pull: true,
      push: false,
      network: "none",
      credentials: { username: "u", password: "geheim" },
      webhook: { url: "https://hooks.example.com/x" },
    };
    const answer = await submit(server, all);
    const { credentials, webhook, archiveUrl, network, ...same } = all;
    expect(answer.json()).toMatchObject({
      ...same,
      source: { kind: "address", url: archiveUrl },
      purge: false,
      limits: { network },
      webhook: webhook.url,
      hasCredentials: true,
    });
    expect(answer.body).not.toContain(credentials.password);
    expect(server.store.credentialsOf(answer.json<{ id: string }>().id)).toEqual(credentials);
  });

  test.each<[string, object, number, string[]]>([
    [
      "unknown fields, named",
      { ...build, dockerFile: "x", credentials: { user: "u" } },
      400,
      ["credentials.password", "credentials.user", "credentials.username", "dockerFile"],
    ],
    ["wrong types, all of them", { ...build, push: "true", strip: "1", labels: [] }, 400, ["labels", "push", "strip"]],
    ["no name", { dockerfile: "FROM scratch" }, 400, ["name"]],
    ["an array", [build], 400, [""]],
    ["both sources", { ...build, archiveUrl: "https://files.example.com/a.tar" }, 422, ["archiveUrl", "dockerfile"]],
    ["no source", { name: "app" }, 422, ["dockerfile"]],
    ["an empty Dockerfile", { name: "app", dockerfile: "" }, 400, ["dockerfile"]],
    ["a name that is none", { ...build, name: "Team/App" }, 422, ["name"]],
    ["a name with a digest", { ...build, name: `app@sha256:${"0".repeat(64)}` }, 422, ["name"]],
    ["an address of another kind", { name: "app", archiveUrl: "file:///etc/passwd" }, 422, ["archiveUrl"]],
    ["an address with a password", { name: "app", archiveUrl: "https://u:p@files.example.com/" }, 422, ["archiveUrl"]],
    [
      "paths that lead out",
      { name: "app", archiveUrl: "https://files.example.com/", file: "../Dockerfile" },
      422,
      ["file"],
    ],
    ["a platform that is none", { ...build, platform: "arm" }, 422, ["platform"]],
    ["an argument with a name that is none", { ...build, buildArgs: { "A=B": "" } }, 422, ["buildArgs.A=B"]],
    [
      "a webhook without a secret to sign it",
      { ...build, webhook: { url: "https://hooks.example.com/" } },
      422,
      ["webhook"],
    ],
    ["a network that does not exist", { ...build, network: "container:x" }, 400, ["network"]],
  ])("%s", async (_what, body, status, fields) => {
    const server = refusing;
    const answer = await submit(server, body);
    expect(answer.json()).toMatchObject({ status });
    expect(refusedFields(answer)).toEqual(fields);
    await expectNothingLeft(server);
  });

  test.each<[string, string, number, string]>([
    ["malformed", '{"name": ', 400, "malformed"],
    ["empty", "", 400, "invalid"],
    ["too deep", "[".repeat(100_000), 400, "too-deep"],
    ["with the prototype of objects", '{"name":"app","__proto__":{"push":false}}', 400, "malformed"],
    ["too large", JSON.stringify({ ...build, dockerfile: "#".repeat(1024 * 1024) }), 413, "too-large"],
  ])("%s JSON", async (_what, text, status, code) => {
    const server = refusing;
    expect((await submit(server, text)).json()).toMatchObject({ status, code });
    await expectNothingLeft(server);
  });

  test("thousands of wrong fields get a short answer", async () => {
    const many = Object.fromEntries(Array.from({ length: 5000 }, (_, index) => [`A ${index}`, ""]));
    for (const body of [
      { ...build, buildArgs: many },
      { ...build, ...many },
    ]) {
      const answer = await submit(refusing, body);
      expect([400, 422]).toContain(answer.statusCode);
      expect(refusedFields(answer)).toHaveLength(20);
      expect(answer.body.length).toBeLessThan(10_000);
    }
  });

  test("other types of bodies, and packed ones", async () => {
    const server = refusing;
    expect((await submit(server, "x", { "content-type": "text/plain" })).statusCode).toBe(415);
    expect((await submit(server, build, { "content-encoding": "gzip" })).statusCode).toBe(415);
  });

  test("a query, which is for archives", async () => {
    const server = refusing;
    const answer = await server.app.inject({ method: "POST", url: `${url}?push=false`, payload: build });
    expect(answer.statusCode).toBe(400);
  });
});

describe("what a token allows", () => {
  const images = [parseNamePattern("team/*")];
  const headers = { authorization: "Bearer t1" };

  test("names", async () => {
    await using server = testApp({ access: testAccess([testClient("t1", { images })]) });
    expect((await submit(server, build, headers)).statusCode).toBe(202);
    const other = await submit(server, { ...build, name: "other/app" }, headers);
    expect(other.json()).toMatchObject({ status: 403, code: "name-not-allowed" });
    expect(other.body).not.toContain("team/");
  });

  test("networks: the host's is asked for by name, and none stays none", async () => {
    const clients = ["none", "default", "host", undefined].map((network) =>
      testClient(String(network), { limits: { network } }),
    );
    await using server = testApp({ access: testAccess(clients) });
    const ask = async (token: string, network?: string): Promise<unknown> => {
      const answer = await submit(server, { ...build, ...(network && { network }) }, { authorization: token });
      return answer.statusCode === 202
        ? answer.json<{ limits: { network: string } }>().limits.network
        : answer.statusCode;
    };
    expect(await Promise.all(["none", "default", "host", "undefined"].map((token) => ask(token)))).toEqual([
      "none",
      "default",
      "default",
      "default",
    ]);
    expect(await ask("none", "default")).toBe(403);
    expect(await ask("default", "host")).toBe(403);
    expect(await ask("undefined", "host")).toBe(403);
    expect(await ask("host", "host")).toBe("host");
    expect(await ask("default", "none")).toBe("none");
  });

  test("limits go with the job, and queued jobs are counted", async () => {
    const limits = { memory: 1024, cpus: 0.5, time: 60_000, queued: 1, running: 2 };
    await using server = testApp({ access: testAccess([testClient("t1", { limits })]) });
    const answer = await submit(server, build, headers);
    expect(answer.json()).toMatchObject({ limits: { memory: 1024, cpus: 0.5, seconds: 60 } });
    expect(server.store.added[0]).toMatchObject({ maxQueued: 1, maxRunning: 2 });
    const full = await submit(server, build, headers);
    expect(full.json()).toMatchObject({ status: 429, code: "queue-full" });
    expect(full.headers["retry-after"]).toBe("30");
  });

  test("a token without the scope", async () => {
    await using server = testApp({ access: testAccess([testClient("t1", { scope: ["read"] })]) });
    expect((await submit(server, build, headers)).statusCode).toBe(403);
  });
});

describe("a plain archive", () => {
  const send = (
    server: TestApp,
    query: string,
    payload = "a tar",
    more: Record<string, string> = {},
  ): Promise<Answer> =>
    server.app.inject({
      method: "POST",
      url: `${url}?${query}`,
      payload,
      headers: { "content-type": "application/x-tar", ...more },
    });

  test("with a query", async () => {
    await using server = testApp();
    const credentials = { username: "u", password: "p" };
    const answer = await send(
      server,
      "name=app&strip=1&buildArg=A=1&buildArg=B=x=y&label=c=&push=false&purge=true&file=d/Dockerfile",
      "a tar",
      { "x-registry-auth": Buffer.from(JSON.stringify(credentials)).toString("base64url") },
    );
    const job = answer.json<{ id: string }>();
    expect(job).toMatchObject({
      source: { kind: "archive", bytes: 5 },
      strip: 1,
      buildArgs: { A: "1", B: "x=y" },
      labels: { c: "" },
      push: false,
      purge: true,
      file: "d/Dockerfile",
    });
    expect(await readFile((await server.store.bodyOf(job.id)) ?? "", "utf8")).toBe("a tar");
    expect(server.store.credentialsOf(job.id)).toEqual(credentials);
  });

  test.each<[string, string, string, number]>([
    ["no name", "", "x", 400],
    ["an unknown field", "name=app&dockerfile=x", "x", 400],
    ["a wrong value", "name=app&push=yes", "x", 400],
    ["a pair that is none", "name=app&buildArg=A", "x", 422],
    ["no bytes", "name=app", "", 400],
    ["too many bytes", "name=app", "x".repeat(1024 * 1024 + 1), 413],
  ])("%s", async (_what, query, payload, status) => {
    const server = refusing;
    expect((await send(server, query, payload)).json()).toMatchObject({ status });
    await expectNothingLeft(server);
  });

  test("credentials that are none", async () => {
    const server = refusing;
    expect((await send(server, "name=app", "x", { "x-registry-auth": "e30" })).statusCode).toBe(400);
    await expectNothingLeft(server);
  });
});

describe("a form", () => {
  const json = JSON.stringify({ name: "app", strip: 1 });
  const send = (server: TestApp, ...parts: readonly FormPart[]): Promise<Answer> =>
    server.app.inject({ method: "POST", url, ...form(...parts) });

  test.each([
    [
      "build first",
      [
        { name: "build", content: json },
        { name: "archive", content: "a tar", filename: "a.tar" },
      ],
    ],
    [
      "archive first",
      [
        { name: "archive", content: "a tar" },
        { name: "build", content: json, filename: "b.json" },
      ],
    ],
  ])("%s", async (_what, parts) => {
    await using server = testApp();
    const answer = await send(server, ...parts);
    const job = answer.json<{ id: string }>();
    expect(job).toMatchObject({ name: "app", strip: 1, source: { kind: "archive", bytes: 5 } });
    expect(await readFile((await server.store.bodyOf(job.id)) ?? "", "utf8")).toBe("a tar");
  });

  test("names of files lead nowhere", async () => {
    await using server = testApp();
    const filename = "../../../../../../tmp/escaped";
    const answer = await send(
      server,
      { name: "build", content: json, filename: "/etc/passwd" },
      { name: "archive", content: "a tar", filename },
    );
    const { id } = answer.json<{ id: string }>();
    expect(await server.store.bodyOf(id)).toMatch(server.store.folder);
    expect(await readdir(server.store.folder)).toEqual(["body-1"]);
  });

  test("a Dockerfile alone needs no archive", async () => {
    await using server = testApp();
    expect((await send(server, { name: "build", content: JSON.stringify(build) })).statusCode).toBe(202);
  });

  test.each([
    ["no build", [{ name: "archive", content: "a" }], 400, ["build"]],
    ["no archive", [{ name: "build", content: json }], 422, ["dockerfile"]],
    [
      "an empty archive",
      [
        { name: "build", content: json },
        { name: "archive", content: "" },
      ],
      422,
      ["dockerfile"],
    ],
    [
      "an unknown part",
      [
        { name: "build", content: json },
        { name: "../x", content: "a" },
      ],
      400,
      ["../x"],
    ],
    [
      "a part twice",
      [
        { name: "archive", content: "a" },
        { name: "archive", content: "a" },
      ],
      400,
      ["archive"],
    ],
    [
      "unknown fields",
      [
        { name: "archive", content: "a" },
        { name: "build", content: '{"name":"a","x":1}' },
      ],
      400,
      ["x"],
    ],
    [
      "both sources",
      [
        { name: "archive", content: "a" },
        { name: "build", content: JSON.stringify(build) },
      ],
      422,
      ["archive", "dockerfile"],
    ],
    ["malformed JSON", [{ name: "build", content: "{" }], 400, []],
    ["deep JSON", [{ name: "build", content: "[".repeat(100_000) }], 400, []],
    ["a large build", [{ name: "build", content: "x".repeat(1024 * 1024 + 1) }], 413, []],
    [
      "a large archive",
      [
        { name: "build", content: json },
        { name: "archive", content: "x".repeat(1024 * 1024 + 1) },
      ],
      413,
      [],
    ],
    ["a name of an object's own", [{ name: "__proto__", content: json }], 400, []],
  ])("%s", async (_what, parts, status, fields) => {
    const server = refusing;
    const answer = await send(server, ...parts);
    expect(answer.json()).toMatchObject({ status });
    expect(refusedFields(answer)).toEqual(fields);
    await expectNothingLeft(server);
  });

  test.each([5, 30, 90, 200])("a body that lacks its last %i bytes", async (missing) => {
    const server = refusing;
    const whole = form({ name: "build", content: json }, { name: "archive", content: "x".repeat(100) });
    const payload = whole.payload.slice(0, -missing);
    const answer = await server.app.inject({ method: "POST", url, ...whole, payload });
    expect(answer.json()).toMatchObject({ status: 400, code: "incomplete" });
    await expectNothingLeft(server);
  });
});

describe("Idempotency-Key", () => {
  const headers = { "idempotency-key": '"8e03978e-40d5-43dd-bc93-6894a57f9324"' };

  test("the same request gets the same job, another one 422", async () => {
    await using server = testApp();
    const first = await submit(server, build, headers);
    const turned = JSON.stringify({ dockerfile: build.dockerfile, name: build.name });
    const again = await submit(server, turned, { "idempotency-key": headers["idempotency-key"].slice(1, -1) });
    expect(again.statusCode).toBe(202);
    expect(again.headers["idempotency-replayed"]).toBe("true");
    expect(again.json<{ id: string }>().id).toBe(first.json<{ id: string }>().id);
    const other = await submit(server, { ...build, pull: true }, headers);
    expect(other.json()).toMatchObject({ status: 422, code: "idempotency-key-reused" });
    expect(await readdir(server.store.folder)).toEqual(["body-1"]);
  });

  test("the bytes of an archive count", async () => {
    await using server = testApp();
    const send = (payload: string): Promise<Answer> =>
      server.app.inject({
        method: "POST",
        url: `${url}?name=app`,
        payload,
        headers: { "content-type": "application/gzip", ...headers },
      });
    const id = (await send("one")).json<{ id: string }>().id;
    expect((await send("one")).json<{ id: string }>().id).toBe(id);
    expect((await send("two")).statusCode).toBe(422);
    expect(await readdir(server.store.folder)).toEqual(["body-1"]);
  });

  test("keys of two owners do not meet", async () => {
    await using server = testApp({ access: testAccess([testClient("t1"), testClient("t2")]) });
    const ids = [];
    for (const authorization of ["t1", "t2"]) {
      ids.push((await submit(server, build, { ...headers, authorization })).json<{ id: string }>().id);
    }
    expect(new Set(ids).size).toBe(2);
    expect(server.store.added[0]?.idempotency?.key).not.toBe(server.store.added[1]?.idempotency?.key);
  });

  test.each(["", '"', "a b", "x".repeat(256)])("a key that is none: %j", async (key) => {
    const server = refusing;
    expect((await submit(server, build, { "idempotency-key": key })).statusCode).toBe(400);
  });
});
