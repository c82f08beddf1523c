import { expect, test } from "vitest";
import { digestOf } from "../../../src/image/digest.ts";
import { openEngine } from "../../../src/engine/open/open-engine.ts";
import { forgetBrokenOffName, giveTemporaryName } from "../../../src/engine/temporary-name.ts";
import { answer, fakeEngine, type Route } from "./fake-engine.ts";

const REPOSITORY = "127.0.0.1:5000/docker-over-ssh/library/app";
const digest = (repository: string): string => `${repository}@sha256:${"ab".repeat(32)}`;

test("removes the digest that an engine records for a broken push with its name, even after an abort", async () => {
  const images = [
    { RepoDigests: [digest("app"), digest(`${REPOSITORY}/other`), digest(REPOSITORY)] },
    { RepoDigests: null },
  ];
  const says =
    (body: object): Route =>
    (_request, response) =>
      answer(response, 200, body);
  await using fake = await fakeEngine({
    "GET /images/json": says(images),
    [`DELETE /images/${REPOSITORY}:run`]: says([]),
    [`DELETE /images/${digest(REPOSITORY)}`]: says([]),
  });
  const abort = new AbortController();
  await using engine = await openEngine(fake.endpoint, abort.signal);
  abort.abort();
  await forgetBrokenOffName(engine, `${REPOSITORY}:run`);
  expect(fake.calls()).toEqual([
    `DELETE /images/${REPOSITORY}:run`,
    "GET /images/json",
    `DELETE /images/${digest(REPOSITORY)}`,
  ]);
  expect(fake.seen[1]?.query.get("filters")).toBe(JSON.stringify({ reference: [REPOSITORY] }));
});

test("an unreachable engine causes no error", async () => {
  const fake = await fakeEngine();
  await using engine = await openEngine(fake.endpoint);
  await fake[Symbol.asyncDispose]();
  expect(await forgetBrokenOffName(engine, `${REPOSITORY}:run`)).toBeUndefined();
});

test("an image without a name gets no temporary name, because the engine would remove the image with it", async () => {
  const id = digestOf("config");
  const says =
    (body: object): Route =>
    (_request, response) =>
      answer(response, 200, body);
  const image = { given: id, domain: "docker.io", path: "by-id" };
  for (const [RepoTags, isGiven] of [
    [null, false],
    [["<none>:<none>"], false],
    [["app:v1"], true],
  ]) {
    await using fake = await fakeEngine({
      [`GET /images/${id}/json`]: says({ Id: id, RepoTags }),
      [`POST /images/${id}/tag`]: says({}),
    });
    await using engine = await openEngine(fake.endpoint);
    expect(await giveTemporaryName(engine, image, `${REPOSITORY}:run`)).toBe(isGiven);
    expect(fake.calls().includes(`POST /images/${id}/tag`)).toBe(isGiven);
  }
});
