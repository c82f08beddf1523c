import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { EngineAnswer } from "../../../../src/guard/engine/engine-api.ts";
import { createImages } from "../../../../src/guard/images/create-images.ts";
import { createOwnImages } from "../../../../src/guard/images/create-own-images.ts";
import type { BackendImages } from "../../../../src/guard/backend.ts";
import type { OwnImages } from "../../../../src/guard/images/own-images.ts";
import type { Ledger } from "../../../../src/guard/ledger/ledger.ts";
import { openLedger } from "../../../../src/guard/ledger/open-ledger.ts";
import { createLimits } from "../../../../src/guard/limits/create-limits.ts";
import { StandInImages } from "../../../fixtures/guard/images-engine.ts";
import { callerOf, tenantOf } from "../../../fixtures/guard/tenants.ts";

const signal = new AbortController().signal;
const idOf = (digit: string): string => `sha256:${digit.repeat(64)}`;
const nameOf = (tenant: string, name: string): string => `guard.internal/${tenant}/docker.io/library/${name}`;
const plainly = { force: false, noPrune: false };
const a = callerOf(tenantOf("a"));

let folder: string;
let engine: StandInImages;
let ledger: Ledger;
let own: OwnImages;
let images: BackendImages;
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "images-"));
  engine = new StandInImages();
  ledger = await openLedger(folder);
  own = createOwnImages({ engine, ledger, limits: createLimits(ledger) });
  images = createImages({ engine, own, ledger, push: { push: async () => {} } });
});
afterEach(async () => {
  await ledger[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true });
});

test("a name that is given has a tag, and no digest", async () => {
  engine.images.push({ Id: idOf("1"), RepoTags: [nameOf("a", "app:v1")] });
  const withDigest = images.tag(a, "app:v1", `other:v1@${idOf("d")}`);
  await expect(withDigest).rejects.toMatchObject({ rule: "name.digest" });
  await images.tag(a, "app:v1", "other:v1");
  expect(engine.asked.at(-1)).toBe(
    `POST /images/${idOf("1")}/tag repo=guard.internal/a/docker.io/library/other tag=v1`,
  );
});

test("a name more than the quota allows is refused, but not one that the image has", async () => {
  engine.images.push({ Id: idOf("1"), RepoTags: [nameOf("a", "app:v1"), nameOf("a", "app:v2")] });
  const full = callerOf(tenantOf("a", { images: 2 }));
  await expect(images.tag(full, "app:v1", "app:v3")).rejects.toMatchObject({ rule: "quota.images" });
  await images.tag(full, "app:v1", "app:v2");
});

test("an ID is removed with all of its names only where that is forced", async () => {
  engine.images.push({ Id: idOf("1"), RepoTags: [nameOf("a", "app:v1"), nameOf("a", "app:v2")] });
  await expect(images.remove(a, idOf("1"), plainly)).rejects.toMatchObject({ rule: "image.conflict", statusCode: 409 });
  expect(engine.images).toHaveLength(1);
  expect(await images.remove(a, idOf("1"), { force: true, noPrune: false })).toContainEqual({ Deleted: idOf("1") });
});

test("what is not the tenant's is neither pushed nor saved, and neither is what has no name", async () => {
  engine.images.push({ Id: idOf("1"), RepoTags: ["host:v1"] }, { Id: idOf("2"), RepoTags: [nameOf("a", "app:v1")] });
  const push = { credentials: undefined, platform: undefined, onLine: () => {} };
  for (const name of ["host:v1", "app", "2222", `app@${idOf("d")}`])
    await expect(images.push(a, name, push)).rejects.toMatchObject({ rule: "image.unknown" });
  for (const name of ["host:v1", "host", idOf("1")])
    await expect(images.save(a, [name], {})).rejects.toMatchObject({ rule: "image.unknown" });
  await expect(images.save(a, Array<string>(1001).fill("app:v1"), {})).rejects.toMatchObject({ rule: "image.names" });
  await expect(own.take(a.tenant, idOf("9"), signal)).rejects.toMatchObject({ rule: "image.unknown" });
});

test("an event without an end is not gathered", async () => {
  engine.body = Buffer.alloc(5 * 1024 * 1024, "x");
  const events = images.events(a, { filters: {} })[Symbol.asyncIterator]();
  await expect(events.next()).rejects.toMatchObject({ rule: "events.size" });
});

test("an image that goes between two questions is none", async () => {
  engine.images.push({ Id: idOf("1"), RepoTags: [nameOf("a", "app:v1")] });
  const json = engine.json.bind(engine);
  engine.json = async (request) => {
    if (request.path === `/images/${idOf("1")}/json`) throw new EngineAnswer(404, "No such image");
    return await json(request);
  };
  await expect(images.inspect(a, "app:v1", { manifests: false })).rejects.toMatchObject({ rule: "image.unknown" });
  await expect(images.remove(a, "app:v1", plainly)).rejects.toMatchObject({ rule: "image.unknown" });
  expect(engine.images).toHaveLength(1);
});

test("what counts as a tenant's are its own images, not those of others, nor of steps", async () => {
  const Labels = { "docker-over-ssh.guard.tenant": "a" };
  engine.images.push(
    { Id: idOf("1"), RepoTags: [nameOf("a", "app:v1")], Size: 5, Labels },
    { Id: idOf("2"), RepoTags: ["host:v1"], Size: 100 },
    { Id: idOf("3"), RepoTags: [nameOf("b", "app:v1")], Size: 100 },
    { Id: idOf("4"), RepoTags: [], Size: 5 },
  );
  await own.takeIntermediate(a.tenant, [idOf("4")]);
  expect((await own.list("a", signal)).map(({ id }) => id)).toEqual([idOf("1")]);
  await own.take(tenantOf("a", { bytes: 5, images: 1 }), idOf("1"), signal);
});

test("names that an image is given next count; one that is there is left as it was where they are too many", async () => {
  const Labels = { "docker-over-ssh.guard.tenant": "a" };
  const [one, two, three] = ["one:v1", "two:v1", "three:v1"].map((name) => nameOf("a", name)) as [
    string,
    string,
    string,
  ];
  engine.images.push({ Id: idOf("1"), RepoTags: [one], Labels }, { Id: idOf("2"), RepoTags: [], Labels });
  const full = tenantOf("a", { images: 2 });
  await own.take(full, idOf("2"), signal, [two, two]);
  // It loses the name, and counts without one.
  await own.take(full, idOf("2"), signal, [one]);
  await expect(own.take(full, idOf("2"), signal, [two, three])).rejects.toMatchObject({ rule: "quota.images" });
  await expect(own.take(full, idOf("1"), signal, [two])).rejects.toMatchObject({ rule: "quota.images" });
  expect(engine.images.map(({ RepoTags }) => RepoTags)).toEqual([[one], []]);
  engine.images.push({ Id: idOf("3"), RepoTags: [], Labels });
  await expect(own.take(full, idOf("3"), signal, [three])).rejects.toMatchObject({ rule: "quota.images" });
  expect(engine.images).toHaveLength(2);
});

test("an image that the host has a name for as well is never asked to go by its ID", async () => {
  const Labels = { "docker-over-ssh.guard.tenant": "a" };
  const removals = (): string[] => engine.asked.splice(0).filter((line) => line.startsWith("DELETE"));
  engine.images.push({ Id: idOf("1"), RepoTags: [nameOf("a", "app:v1"), "host:v1"], Size: 10, Labels });
  await expect(own.take(tenantOf("a", { bytes: 9 }), idOf("1"), signal)).rejects.toMatchObject({ rule: "quota.bytes" });
  expect(removals()).toEqual([`DELETE /images/${nameOf("a", "app:v1")} noprune=1`]);
  engine.images[0]?.RepoTags.push(nameOf("a", "app:v1"));
  await images.remove(a, idOf("1"), { force: true, noPrune: false });
  expect(removals()).toEqual([`DELETE /images/${nameOf("a", "app:v1")} noprune=1`]);
  expect(engine.images).toMatchObject([{ RepoTags: ["host:v1"] }]);
});
