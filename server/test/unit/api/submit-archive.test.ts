import { readdir, readFile } from "node:fs/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { build, expectNothingLeft, refusedFields, url, type Answer } from "../../fixtures/submissions.ts";
import { form, testApp, type FormPart, type TestApp } from "../../fixtures/test-app.ts";

/** For rejected requests, which leave nothing, so the next test finds it empty. */
let refusing: TestApp;
beforeAll(() => void (refusing = testApp()));
afterAll(async () => await refusing[Symbol.asyncDispose]());

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

  test("is accepted with a query", async () => {
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
    ["an invalid pair", "name=app&buildArg=A", "x", 422],
    ["no bytes", "name=app", "", 400],
    ["too many bytes", "name=app", "x".repeat(1024 * 1024 + 1), 413],
  ])("%s", async (_what, query, payload, status) => {
    const server = refusing;
    expect((await send(server, query, payload)).json()).toMatchObject({ status });
    await expectNothingLeft(server);
  });

  test("is rejected with invalid credentials", async () => {
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

  test("does not use file names as paths", async () => {
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

  test("with only a Dockerfile needs no archive", async () => {
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
    ["a name that is a property of objects", [{ name: "__proto__", content: json }], 400, []],
  ])("%s", async (_what, parts, status, fields) => {
    const server = refusing;
    const answer = await send(server, ...parts);
    expect(answer.json()).toMatchObject({ status });
    expect(refusedFields(answer)).toEqual(fields);
    await expectNothingLeft(server);
  });

  test.each([5, 30, 90, 200])("is rejected without its last %i bytes", async (missing) => {
    const server = refusing;
    const whole = form({ name: "build", content: json }, { name: "archive", content: "x".repeat(100) });
    const payload = whole.payload.slice(0, -missing);
    const answer = await server.app.inject({ method: "POST", url, ...whole, payload });
    expect(answer.json()).toMatchObject({ status: 400, code: "incomplete" });
    await expectNothingLeft(server);
  });
});
