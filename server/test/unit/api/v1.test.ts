import { readdir, readFile } from "node:fs/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parseNamePattern } from "docker-over-ssh/builds";
import { StoreUnavailable } from "../../../src/store/job-store.ts";
import { form, testAccess, testApp, testClient, type FormPart, type TestApp } from "../../fixtures/test-app.ts";

type Answer = Awaited<ReturnType<TestApp["app"]["inject"]>>;

let server: TestApp;
beforeAll(() => void (server = testApp({ access: testAccess([testClient("t1"), testClient("t2")]) })));
afterAll(async () => await server[Symbol.asyncDispose]());

/** The client sends its token without `Bearer`. */
const headers = { authorization: "t1" };
const request = { image_name: "registry.example.com/team/app", dockerfile: "FROM scratch\n" };

const post = (payload: object | string, more: Record<string, string> = {}): Promise<Answer> =>
  server.app.inject({ method: "POST", url: "/api/v1/build", payload, headers: { ...headers, ...more } });
const postForm = (...parts: readonly FormPart[]): Promise<Answer> => {
  const { payload, headers: type } = form(...parts);
  return post(payload, type);
};
const get = (path: string, authorization = "t1"): Promise<Answer> =>
  server.app.inject({ url: `/api/v1/${path}`, headers: { authorization } });

function idOf(answer: Answer): string {
  expect(answer.statusCode).toBe(200);
  const body = answer.json<{ JobIdentifier: string }>();
  expect(Object.keys(body)).toEqual(["JobIdentifier"]);
  expect(body.JobIdentifier).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/);
  return body.JobIdentifier;
}

describe("JSON", () => {
  test("is built, pushed and purged, with its credentials", async () => {
    const answer = await post({ ...request, username: "user", password: "geheim", email: "user@example.com" });
    expect(answer.headers["content-type"]).toMatch(/^application\/json/);
    const id = idOf(answer);
    expect(server.store.jobOf(id)).toMatchObject({
      name: request.image_name,
      owner: "t1",
      source: { kind: "dockerfile" },
      order: { push: true, purge: true, file: "Dockerfile" },
    });
    expect(server.store.credentialsOf(id)).toEqual({ username: "user", password: "geheim" });
    expect(JSON.stringify(server.store.jobOf(id))).not.toContain("geheim");
    expect(await readFile((await server.store.bodyOf(id)) ?? "", "utf8")).toBe(request.dockerfile);
  });

  test("may contain an address", async () => {
    const id = idOf(
      await post({ image_name: "team/app", tarUrl: "http://files.example.com/a.tar.gz", dockerfile: "" }),
    );
    expect(server.store.jobOf(id).source).toEqual({ kind: "address", url: "http://files.example.com/a.tar.gz" });
  });

  test("may have any content type, names in any case, and unknown fields", async () => {
    const text = JSON.stringify({ Image_name: "team/app", Dockerfile: "FROM scratch", Github_tag: "v1", email: null });
    for (const type of ["application/x-www-form-urlencoded", "text/plain; charset=utf-8"]) {
      expect(server.store.jobOf(idOf(await post(text, { "content-type": type }))).name).toBe("team/app");
    }
  });

  const insufficient = "Insufficient Information.  Must provide at least an Image Name and a Dockerfile/Tarurl.";
  test.each<[string, object | string, string]>([
    ["no source", { image_name: "team/app" }, insufficient],
    ["no name", { dockerfile: "FROM scratch" }, insufficient],
    ["an empty name", { image_name: "", dockerfile: "FROM scratch" }, insufficient],
    ["nothing", {}, insufficient],
    ["both sources", { ...request, tarUrl: "http://files.example.com/" }, "Only one of"],
    ["wrong types", { ...request, username: 1 }, "username is not a string"],
    ["malformed JSON", "{", "not JSON"],
    ["an empty body", "", "not an object"],
    ["an array", "[]", "not an object"],
    ["deep JSON", "[".repeat(100_000), "levels"],
    ["an address without http", { image_name: "app", tarUrl: "files.example.com/a.tar" }, "tarUrl must be an http"],
    ["an invalid name", { ...request, image_name: "Team/App" }, "image_name is not usable"],
  ])("%s: gets 400 with an Error", async (_what, body, text) => {
    const answer = await post(body);
    expect(answer.statusCode).toBe(400);
    expect(Object.keys(answer.json<object>())).toEqual(["Error"]);
    expect(answer.json<{ Error: string }>().Error).toContain(text);
  });
});

describe("a form", () => {
  const json = JSON.stringify({ image_name: "team/app", username: "user", password: "geheim" });
  const tar = { name: "TarFile", content: "a tar", filename: "../../a.tar.gz" };

  test.each([
    ["TarFile first", [tar, { name: "Json", content: json, filename: "a.json" }]],
    ["Json first", [{ name: "Json", content: json }, tar]],
  ])("%s", async (_what, parts) => {
    const id = idOf(await postForm(...parts));
    expect(server.store.jobOf(id)).toMatchObject({ source: { kind: "archive", bytes: 5 }, order: { purge: true } });
    expect(await readFile((await server.store.bodyOf(id)) ?? "", "utf8")).toBe("a tar");
    expect(server.store.credentialsOf(id)).toEqual({ username: "user", password: "geheim" });
  });

  test.each<[string, FormPart[]]>([
    ["no Json", [tar]],
    ["no TarFile", [{ name: "Json", content: json }]],
    ["a Dockerfile as well", [tar, { name: "Json", content: JSON.stringify(request) }]],
    ["another part", [tar, { name: "Other", content: "x" }, { name: "Json", content: json }]],
    ["malformed Json", [tar, { name: "Json", content: "{" }]],
  ])("%s: gets 400, and leaves nothing", async (_what, parts) => {
    const files = await readdir(server.store.folder);
    const answer = await postForm(...parts);
    expect(answer.statusCode).toBe(400);
    expect(Object.keys(answer.json<object>())).toEqual(["Error"]);
    expect(await readdir(server.store.folder)).toEqual(files);
  });
});

describe("status", () => {
  test("passes Building, Pushing, Finished", async () => {
    const id = idOf(await post(request));
    const status = async (): Promise<unknown> => (await get(`${id}/status`)).json();
    expect(await status()).toEqual({ Status: "Building" });
    server.store.change(id, { state: "running" });
    expect(await status()).toEqual({ Status: "Building" });
    server.store.change(id, { state: "pushing" });
    expect(await status()).toEqual({ Status: "Pushing" });
    server.store.change(id, { state: "succeeded" });
    expect(await status()).toEqual({ Status: "Finished" });
    server.store.change(id, { state: "failed", reason: { code: "push-refused", message: "denied" } });
    expect(await status()).toEqual({ Status: "Failed: denied" });
  });

  test.each(["status", "logs"])("%s rejects a job that does not exist, or belongs to somebody else", async (what) => {
    const id = idOf(await post(request));
    for (const answer of [await get(`${id}/${what}`, "t2"), await get(`0/${what}`), await get(`..%2f/${what}`)]) {
      expect(answer.statusCode).toBe(404);
      expect(answer.json()).toEqual({ Error: "Jobid doesn't exist in the cache.  Bad request." });
    }
  });
});

test("logs are one text of any length", async () => {
  const id = idOf(await post(request));
  expect((await get(`${id}/logs`)).json()).toEqual({ Logs: "" });
  const lines = Array.from(
    { length: 5000 },
    (_, index) => `${index} "quoted" \u001b[1mbold\u001b[0m 𝄞 ${"x".repeat(100)}`,
  );
  server.store.log(id, lines);
  expect((await get(`${id}/logs`)).json()).toEqual({ Logs: lines.map((line) => `${line}\n`).join("") });
});

test("errors have tutum-builder's form, whatever they are", async () => {
  const refused = await server.app.inject({ method: "POST", url: "/api/v1/build", payload: request });
  expect(refused.statusCode).toBe(401);
  expect(Object.keys(refused.json<object>())).toEqual(["Error"]);
  expect((await get("other")).json()).toEqual({ Error: "Resource not found" });
  server.store.failure = new StoreUnavailable("redis://secret");
  try {
    const answer = await post(request);
    expect(answer.statusCode).toBe(503);
    expect(answer.headers["retry-after"]).toBe("5");
    expect(answer.body).not.toContain("secret");
  } finally {
    server.store.failure = undefined;
  }
});

test("rejects names that a token may not build", async () => {
  const client = testClient("t1", { images: [parseNamePattern("team/*")] });
  await using narrow = testApp({ access: testAccess([client]) });
  const answer = await narrow.app.inject({ method: "POST", url: "/api/v1/build", payload: request, headers });
  expect(answer.statusCode).toBe(403);
  expect(Object.keys(answer.json<object>())).toEqual(["Error"]);
});
