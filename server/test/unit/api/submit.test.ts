import { readFile } from "node:fs/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parseNamePattern } from "docker-over-ssh/builds";
import { build, expectNothingLeft, refusedFields, submit, url } from "../../fixtures/submissions.ts";
import { testAccess, testApp, testClient, type TestApp } from "../../fixtures/test-app.ts";

/** For rejected requests, which leave nothing, so the next test finds it empty. */
let refusing: TestApp;
beforeAll(() => void (refusing = testApp()));
afterAll(async () => await refusing[Symbol.asyncDispose]());

describe("JSON", () => {
  test("is accepted with a Dockerfile, its options and the defaults", async () => {
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

  test("is accepted with all other options", async () => {
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
    ["an invalid name", { ...build, name: "Team/App" }, 422, ["name"]],
    ["a name with a digest", { ...build, name: `app@sha256:${"0".repeat(64)}` }, 422, ["name"]],
    ["an address of another kind", { name: "app", archiveUrl: "file:///etc/passwd" }, 422, ["archiveUrl"]],
    ["an address with a password", { name: "app", archiveUrl: "https://u:p@files.example.com/" }, 422, ["archiveUrl"]],
    [
      "paths that lead out of the archive",
      { name: "app", archiveUrl: "https://files.example.com/", file: "../Dockerfile" },
      422,
      ["file"],
    ],
    ["an invalid platform", { ...build, platform: "arm" }, 422, ["platform"]],
    ["an argument with an invalid name", { ...build, buildArgs: { "A=B": "" } }, 422, ["buildArgs.A=B"]],
    [
      "arguments and labels that fill the memory",
      { ...build, buildArgs: { A: "x".repeat(20_000), B: "x".repeat(20_000) }, labels: { c: "x".repeat(40_000) } },
      422,
      ["buildArgs", "labels"],
    ],
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
  ])("rejects JSON %s", async (_what, text, status, code) => {
    const server = refusing;
    expect((await submit(server, text)).json()).toMatchObject({ status, code });
    await expectNothingLeft(server);
  });

  test("with thousands of wrong fields gets a short response", async () => {
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

  test("rejects other types of bodies, and compressed ones", async () => {
    const server = refusing;
    const other = await submit(server, "x", { "content-type": "text/plain" });
    const hint = expect.stringContaining("application/json") as string;
    expect([other.statusCode, other.json<object>()]).toMatchObject([415, { code: "media-type", hint }]);
    expect((await submit(server, build, { "content-encoding": "gzip" })).statusCode).toBe(415);
  });

  test("rejects a query, which is for archives", async () => {
    const server = refusing;
    const answer = await server.app.inject({ method: "POST", url: `${url}?push=false`, payload: build });
    expect(answer.statusCode).toBe(400);
  });
});

describe("the permissions of a token", () => {
  const images = [parseNamePattern("team/*")];
  const headers = { authorization: "Bearer t1" };

  test("limit the names", async () => {
    await using server = testApp({ access: testAccess([testClient("t1", { images })]) });
    expect((await submit(server, build, headers)).statusCode).toBe(202);
    const other = await submit(server, { ...build, name: "other/app" }, headers);
    expect(other.json()).toMatchObject({ status: 403, code: "name-not-allowed" });
    expect(other.body).not.toContain("team/");
  });

  test("limit the networks: the host's needs permission, and none stays none", async () => {
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

  test("add limits to the job, and limit queued jobs", async () => {
    const limits = { memory: 1024, cpus: 0.5, time: 60_000, queued: 1, running: 2 };
    await using server = testApp({ access: testAccess([testClient("t1", { limits })]) });
    const answer = await submit(server, build, headers);
    expect(answer.json()).toMatchObject({ limits: { memory: 1024, cpus: 0.5, seconds: 60 } });
    expect(server.store.added[0]).toMatchObject({ maxQueued: 1, maxRunning: 2 });
    const full = await submit(server, build, headers);
    expect(full.json()).toMatchObject({ status: 429, code: "queue-full" });
    expect(full.headers["retry-after"]).toBe("30");
  });

  test("need the scope", async () => {
    await using server = testApp({ access: testAccess([testClient("t1", { scope: ["read"] })]) });
    expect((await submit(server, build, headers)).statusCode).toBe(403);
  });
});
