import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { createImages } from "../../../../src/guard/images/create-images.ts";
import { createOwnImages } from "../../../../src/guard/images/create-own-images.ts";
import { removeTenantImages } from "../../../../src/guard/images/remove-tenant-images.ts";
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
const Labels = { "docker-over-ssh.guard.tenant": "a" };
const any = { all: false, digests: false, references: [], labels: [], before: [], since: [], until: [] } as const;
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

test("a tenant whose name begins with another's has nothing of it", async () => {
  engine.images.push({ Id: idOf("1"), RepoTags: [nameOf("a-b", "app:v1")], Labels });
  expect(await images.list(a, any)).toEqual([]);
  await expect(own.find("a", "app:v1", signal)).rejects.toMatchObject({ statusCode: 404 });
  await expect(own.find("a", idOf("1"), signal)).rejects.toMatchObject({ message: `No such image: ${idOf("1")}` });
});

test("nothing that a tenant names reaches the engine as it came", async () => {
  engine.images.push({ Id: idOf("1"), RepoTags: ["app:v1", "host:latest"], RepoDigests: [`app@${idOf("d")}`] });
  for (const name of ["app:v1", "host", `app@${idOf("d")}`, idOf("1"), "1111", "../../version", "app?x=1", "%2e%2e/x"])
    await expect(images.inspect(a, name, { manifests: false })).rejects.toHaveProperty("statusCode");
  const paths = engine.asked.map((line) => line.split(" ")[1]);
  expect(
    paths.filter(
      (path) => !/^\/images\/(?:json|guard\.internal\/a\/docker\.io\/library\/[\w:@]+\/json)$/.test(path ?? ""),
    ),
  ).toEqual([]);
});

test("an engine that looks up the digest of a name alone does not give away another's image", async () => {
  engine.images.push({ Id: idOf("1"), RepoTags: ["host:v1"] });
  engine.takesDigestsAlone = true;
  await expect(own.find("a", `x@${idOf("1")}`, signal)).rejects.toMatchObject({ statusCode: 404 });
});

test("a name comes before the beginning of an ID; an ambiguous beginning is none", async () => {
  const ids = [`sha256:bee${"1".repeat(61)}`, `sha256:bee${"2".repeat(61)}`] as const;
  engine.images.push(
    { Id: ids[0], RepoTags: [nameOf("a", "one:v1")] },
    { Id: ids[1], RepoTags: [nameOf("a", "bee1:latest")] },
  );
  expect(await own.find("a", "bee1", signal)).toMatchObject({ id: ids[1], foundAs: nameOf("a", "bee1:latest") });
  expect(await own.find("a", "sha256:bee1", signal)).toMatchObject({ id: ids[0] });
  await expect(own.find("a", "bee", signal)).rejects.toMatchObject({ rule: "image.ambiguous", statusCode: 404 });
});

test("a listing has known properties, the tenant's names, and what the filters let through", async () => {
  await ledger.change("a", (record) => void record.images.push({ id: idOf("2"), created: 1 }));
  const app = {
    Id: idOf("1"),
    RepoTags: [nameOf("a", "app:v1"), "host:v1"],
    RepoDigests: [],
    Created: 100,
    Size: 5,
    Labels,
  };
  engine.images.push(
    { ...app, Containers: 3, SharedSize: 4, Secret: "x", ParentId: idOf("9") },
    { Id: idOf("2"), RepoTags: ["<none>:<none>"], RepoDigests: ["<none>@<none>"], Created: 200 },
    { Id: idOf("3"), RepoTags: [nameOf("a", "team/app:v2")], Created: 300 },
    { Id: idOf("4"), RepoTags: ["host:v2"], Created: 300 },
  );
  expect((await images.list(a, any))[0]).toEqual({
    ...app,
    RepoTags: ["app:v1"],
    Containers: -1,
    SharedSize: -1,
    ParentId: "",
  });
  const idsOf = async (filter: object, version = "1.51"): Promise<unknown[]> =>
    (await images.list(callerOf(a.tenant, { apiVersion: version }), { ...any, ...filter })).map(({ Id }) =>
      String(Id).at(-1),
    );
  expect(await idsOf({})).toEqual(["1", "2", "3"]);
  expect(await idsOf({ dangling: true })).toEqual(["2"]);
  expect(await idsOf({ dangling: false })).toEqual(["1", "3"]);
  expect(await idsOf({ references: ["*"] })).toEqual(["1"]);
  expect(await idsOf({ references: ["*/app:v?"] })).toEqual(["3"]);
  expect(await idsOf({ labels: ["docker-over-ssh.guard.tenant=a"] })).toEqual(["1"]);
  expect(await idsOf({ labels: ["docker-over-ssh.guard.tenant=b"] })).toEqual([]);
  expect(await idsOf({ since: ["app:v1"] })).toEqual(["2", "3"]);
  expect(await idsOf({ before: [idOf("3")] })).toEqual(["1", "2"]);
  expect(await idsOf({ until: ["250"] })).toEqual(["1", "2"]);
  const old = await images.list(callerOf(a.tenant, { apiVersion: "1.41" }), { ...any, dangling: true });
  expect(old).toMatchObject([{ RepoTags: ["<none>:<none>"], RepoDigests: ["<none>@<none>"] }]);
});

test("those who list images at the same time get one list of the engine, which has begun after they have asked", async () => {
  engine.images.push({ Id: idOf("1"), RepoTags: [nameOf("a", "app:v1")], Labels });
  const first = images.list(a, any);
  const others = Array.from({ length: 50 }, () => images.list(a, any));
  engine.images.push({ Id: idOf("2"), RepoTags: [nameOf("a", "new:v1")], Labels });
  await first;
  for (const list of await Promise.all(others)) expect(list).toHaveLength(2);
  expect(engine.asked).toHaveLength(2);
  const gone = AbortSignal.abort(new Error("gone"));
  await expect(images.list(callerOf(tenantOf("a"), { signal: gone }), any)).rejects.toThrow("gone");
});

test("the images that filters name are looked up one after the other", async () => {
  engine.images.push({ Id: idOf("1"), RepoTags: [nameOf("a", "app:v1")], Created: 1 });
  let [open, most] = [0, 0];
  const json = engine.json.bind(engine);
  engine.json = async (request) => {
    most = Math.max(most, ++open);
    return await json(request).finally(() => open--);
  };
  const names = Array.from({ length: 100 }, () => "app:v1");
  await images.list(a, { ...any, before: names, since: names });
  expect(most).toBe(1);
});

test("an inspection has nothing of the host: no folders, no container, no parent", async () => {
  engine.images.push({
    Id: idOf("1"),
    RepoTags: [nameOf("a", "app:v1"), "host:v1"],
    ParentId: idOf("9"),
    Container: "c0ffee",
    ContainerConfig: { Hostname: "c0ffee" },
    GraphDriver: { Name: "overlay2", Data: { UpperDir: "/var/lib/docker" } },
    Identity: "x",
  });
  const shown = await images.inspect(a, "app:v1", { manifests: false });
  expect(shown).toMatchObject({ RepoTags: ["app:v1"], Parent: "", GraphDriver: { Name: "overlay2", Data: null } });
  expect(JSON.stringify(shown)).not.toMatch(/c0ffee|host|var.lib|Identity|9999/);
  expect(await images.history(a, "app:v1", {})).toEqual([
    { Id: idOf("1"), Tags: ["app:v1"] },
    { Id: "<missing>", Tags: null },
  ]);
});

test("nothing is forced, and a container that uses the image is not named", async () => {
  engine.images.push({ Id: idOf("1"), RepoTags: [nameOf("a", "app:v1")], isUsed: true });
  const message = "conflict: unable to delete app:v1 - a container is using it";
  await expect(images.remove(a, "app:v1", { force: true, noPrune: false })).rejects.toMatchObject({
    message,
    statusCode: 409,
  });
  expect(engine.asked.filter((line) => line.startsWith("DELETE"))).toEqual([
    `DELETE /images/${nameOf("a", "app:v1")} noprune=1`,
  ]);
});

test("steps go with their image, but a parent that is not the tenant's stays", async () => {
  engine.images.push(
    { Id: idOf("1"), RepoTags: [nameOf("a", "app:v1")], ParentId: idOf("2"), Labels },
    { Id: idOf("2"), RepoTags: [], ParentId: idOf("3") },
    { Id: idOf("3"), RepoTags: [] }, // a base of the host whose name has gone
  );
  await own.takeIntermediate(a.tenant, [idOf("2")]);
  await own.take(a.tenant, idOf("1"), signal);
  expect(await images.remove(a, "app:v1", plainly)).toEqual([
    { Untagged: "app:v1" },
    { Deleted: idOf("1") },
    { Deleted: idOf("2") },
  ]);
  expect(engine.images).toMatchObject([{ Id: idOf("3") }]);
  expect(ledger.read("a").images).toEqual([]);
});

test("take refuses an image without the tenant's label, and removes one that the ledger or a quota does not take", async () => {
  engine.images.push({ Id: idOf("1"), RepoTags: ["host:v1"], Labels: { "docker-over-ssh.guard.tenant": "b" } });
  await expect(own.take(a.tenant, idOf("1"), signal)).rejects.toMatchObject({ rule: "image.not-stamped" });
  expect(engine.images).toHaveLength(1);
  engine.images.push({ Id: idOf("2"), RepoTags: [nameOf("a", "app:v1")], Size: 10, Labels });
  await expect(own.take(tenantOf("a", { bytes: 9 }), idOf("2"), signal)).rejects.toMatchObject({ rule: "quota.bytes" });
  expect(engine.images).toHaveLength(1);
  expect(ledger.read("a").images).toEqual([]);
});

test("take removes an image whose labels, or those of all of the tenant's images, would make lists too long", async () => {
  const image = (digit: string, bytes: number): void =>
    void engine.images.push({ Id: idOf(digit), RepoTags: [], Labels: { ...Labels, x: "x".repeat(bytes) } });
  const refused = { rule: "image.labels", statusCode: 403 };
  image("1", 64 * 1024);
  await expect(own.take(a.tenant, idOf("1"), signal)).rejects.toMatchObject(refused);
  expect(engine.images).toEqual([]);
  for (const digit of ["2", "3", "4"]) image(digit, 10 * 1024 * 1024);
  await own.takeIntermediate(a.tenant, [idOf("2"), idOf("3"), idOf("4")]);
  image("5", 60 * 1024);
  await own.take(a.tenant, idOf("5"), signal);
  image("6", 2 * 1024 * 1024);
  await own.takeIntermediate(a.tenant, [idOf("6")]);
  image("7", 1024);
  await expect(own.take(a.tenant, idOf("7"), signal)).rejects.toMatchObject(refused);
  expect(engine.images.map(({ Id }) => Id)).not.toContain(idOf("7"));
});

test("a tenant that goes takes its images along, not those that others have names for or use; and again", async () => {
  engine.images.push(
    { Id: idOf("1"), RepoTags: [nameOf("a", "app:v1"), "host:v1"], Labels },
    { Id: idOf("2"), RepoTags: [nameOf("b", "app:v1")] },
    { Id: idOf("3"), RepoTags: [], ParentId: idOf("4") },
    { Id: idOf("4"), RepoTags: [] },
    { Id: idOf("5"), RepoTags: [], isUsed: true },
  );
  await ledger.change("a", (record) => {
    record.images = ["1", "4", "3", "5"].map((digit) => ({ id: idOf(digit), created: 1 }));
  });
  expect(await removeTenantImages({ engine, ledger }, "a", signal)).toEqual([idOf("5")]);
  expect(engine.images.map(({ RepoTags }) => RepoTags)).toEqual([["host:v1"], [nameOf("b", "app:v1")], []]);
  expect(ledger.read("a").images).toMatchObject([{ id: idOf("5") }]);
  delete engine.images[2]?.["isUsed"];
  expect(await removeTenantImages({ engine, ledger }, "a", signal)).toEqual([]);
});

test("steps of a build whose guard was killed go with the tenant: those with its label and without a name", async () => {
  const ofB = { "docker-over-ssh.guard.tenant": "b" };
  engine.images.push(
    { Id: idOf("1"), RepoTags: [], Labels, ParentId: idOf("2") },
    { Id: idOf("2"), RepoTags: [], Labels },
    { Id: idOf("3"), RepoTags: ["host:v1"], Labels },
    { Id: idOf("4"), RepoTags: [], Labels: ofB },
  );
  expect(await removeTenantImages({ engine, ledger }, "a", signal)).toEqual([]);
  expect(engine.images.map(({ Id }) => Id)).toEqual([idOf("3"), idOf("4")]);
});

test("events of others are left out, also of images with names of others", async () => {
  await ledger.change("a", (record) => void record.images.push({ id: idOf("7"), created: 1 }));
  const event = (Action: string, ID: string, Attributes: object, Type = "image"): string =>
    `${JSON.stringify({ Type, Action, id: ID, from: "x", Actor: { ID, Attributes }, time: 1, x: 1 })}\n`;
  engine.body = Buffer.from(
    [
      event("tag", idOf("1"), { name: nameOf("a", "app:v1"), ...Labels }),
      event("tag", idOf("1"), { name: "host:v1", ...Labels }),
      event("tag", idOf("2"), { name: nameOf("b", "app:v1") }),
      event("pull", "host:v1", { name: "host" }),
      event("delete", idOf("1"), { name: idOf("1") }),
      event("delete", idOf("7"), { name: idOf("7") }),
      event("delete", idOf("8"), { name: idOf("8") }),
      event("create", idOf("7"), { name: idOf("7") }, "container"),
    ].join(""),
  );
  const seen = async (filters: Record<string, string[]>): Promise<unknown[]> => {
    const found: unknown[] = [];
    for await (const shown of images.events(a, { filters })) found.push(shown);
    return found;
  };
  const all = await seen({});
  expect(all).toEqual([
    {
      Type: "image",
      Action: "tag",
      id: idOf("1"),
      Actor: { ID: idOf("1"), Attributes: { name: "app:v1", ...Labels } },
      time: 1,
    },
    expect.objectContaining({ Action: "delete", id: idOf("1") }),
    expect.objectContaining({ Action: "delete", id: idOf("7") }),
  ]);
  expect(await seen({ event: ["tag"] })).toHaveLength(1);
  expect(await seen({ image: ["app"] })).toHaveLength(1);
  expect(await seen({ type: ["container"] })).toEqual([]);
  await expect(seen({ x: ["y"] })).rejects.toMatchObject({ rule: "events.filter" });
});
