import { expect, test } from "vitest";
import { EngineAnswer } from "../../../../src/guard/engine/engine-api.ts";
import { a, idOf, Labels, nameOf, plainly, useImagesBed } from "../../../fixtures/guard/images-bed.ts";
import { callerOf, tenantOf } from "../../../fixtures/guard/tenants.ts";

const signal = new AbortController().signal;
const any = { all: false, digests: false, references: [], labels: [], before: [], since: [], until: [] } as const;
const bed = useImagesBed();

test("hides images of a tenant whose name begins with this tenant's name", async () => {
  bed.engine.images.push({ Id: idOf("1"), RepoTags: [nameOf("a-b", "app:v1")], Labels });
  expect(await bed.images.list(a, any)).toEqual([]);
  await expect(bed.own.find("a", "app:v1", signal)).rejects.toMatchObject({ statusCode: 404 });
  await expect(bed.own.find("a", idOf("1"), signal)).rejects.toMatchObject({ message: `No such image: ${idOf("1")}` });
});

test("sends no name of a tenant to the engine verbatim", async () => {
  bed.engine.images.push({ Id: idOf("1"), RepoTags: ["app:v1", "host:latest"], RepoDigests: [`app@${idOf("d")}`] });
  for (const name of ["app:v1", "host", `app@${idOf("d")}`, idOf("1"), "1111", "../../version", "app?x=1", "%2e%2e/x"])
    await expect(bed.images.inspect(a, name, { manifests: false })).rejects.toHaveProperty("statusCode");
  const paths = bed.engine.requests.map((line) => line.split(" ")[1]);
  expect(
    paths.filter(
      (path) => !/^\/images\/(?:json|guard\.internal\/a\/docker\.io\/library\/[\w:@]+\/json)$/.test(path ?? ""),
    ),
  ).toEqual([]);
});

test("a listing contains known properties, the tenant's names, and only images that match the filters", async () => {
  await bed.ledger.change("a", (record) => void record.images.push({ id: idOf("2"), created: 1 }));
  const app = {
    Id: idOf("1"),
    RepoTags: [nameOf("a", "app:v1"), "host:v1"],
    RepoDigests: [],
    Created: 100,
    Size: 5,
    Labels,
  };
  bed.engine.images.push(
    { ...app, Containers: 3, SharedSize: 4, Secret: "x", ParentId: idOf("9") },
    { Id: idOf("2"), RepoTags: ["<none>:<none>"], RepoDigests: ["<none>@<none>"], Created: 200 },
    { Id: idOf("3"), RepoTags: [nameOf("a", "team/app:v2")], Created: 300 },
    { Id: idOf("4"), RepoTags: ["host:v2"], Created: 300 },
  );
  expect((await bed.images.list(a, any))[0]).toEqual({
    ...app,
    RepoTags: ["app:v1"],
    Containers: -1,
    SharedSize: -1,
    ParentId: "",
  });
  const idsOf = async (filter: object, version = "1.51"): Promise<unknown[]> =>
    (await bed.images.list(callerOf(a.tenant, { apiVersion: version }), { ...any, ...filter })).map(({ Id }) =>
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
  const old = await bed.images.list(callerOf(a.tenant, { apiVersion: "1.41" }), { ...any, dangling: true });
  expect(old).toMatchObject([{ RepoTags: ["<none>:<none>"], RepoDigests: ["<none>@<none>"] }]);
});

test("simultaneous calls share one list of the engine, which begins after them", async () => {
  bed.engine.images.push({ Id: idOf("1"), RepoTags: [nameOf("a", "app:v1")], Labels });
  const first = bed.images.list(a, any);
  const others = Array.from({ length: 50 }, () => bed.images.list(a, any));
  bed.engine.images.push({ Id: idOf("2"), RepoTags: [nameOf("a", "new:v1")], Labels });
  await first;
  for (const list of await Promise.all(others)) expect(list).toHaveLength(2);
  expect(bed.engine.requests).toHaveLength(2);
  const gone = AbortSignal.abort(new Error("gone"));
  await expect(bed.images.list(callerOf(tenantOf("a"), { signal: gone }), any)).rejects.toThrow("gone");
});

test("looks up the images of filters one at a time", async () => {
  bed.engine.images.push({ Id: idOf("1"), RepoTags: [nameOf("a", "app:v1")], Created: 1 });
  let [open, most] = [0, 0];
  const json = bed.engine.json.bind(bed.engine);
  bed.engine.json = async (request) => {
    most = Math.max(most, ++open);
    return await json(request).finally(() => open--);
  };
  const names = Array.from({ length: 100 }, () => "app:v1");
  await bed.images.list(a, { ...any, before: names, since: names });
  expect(most).toBe(1);
});

test("an inspection contains no folder, container or parent of the host", async () => {
  bed.engine.images.push({
    Id: idOf("1"),
    RepoTags: [nameOf("a", "app:v1"), "host:v1"],
    ParentId: idOf("9"),
    Container: "c0ffee",
    ContainerConfig: { Hostname: "c0ffee" },
    GraphDriver: { Name: "overlay2", Data: { UpperDir: "/var/lib/docker" } },
    Identity: "x",
  });
  const shown = await bed.images.inspect(a, "app:v1", { manifests: false });
  expect(shown).toMatchObject({ RepoTags: ["app:v1"], Parent: "", GraphDriver: { Name: "overlay2", Data: null } });
  expect(JSON.stringify(shown)).not.toMatch(/c0ffee|host|var.lib|Identity|9999/);
  expect(await bed.images.history(a, "app:v1", {})).toEqual([
    { Id: idOf("1"), Tags: ["app:v1"] },
    { Id: "<missing>", Tags: null },
  ]);
});

test("take removes an image if its labels, or those of all of the tenant's images, would make lists too long", async () => {
  const image = (digit: string, bytes: number): void =>
    void bed.engine.images.push({ Id: idOf(digit), RepoTags: [], Labels: { ...Labels, x: "x".repeat(bytes) } });
  const refused = { rule: "image.labels", statusCode: 403 };
  image("1", 64 * 1024);
  await expect(bed.own.take(a.tenant, idOf("1"), signal)).rejects.toMatchObject(refused);
  expect(bed.engine.images).toEqual([]);
  for (const digit of ["2", "3", "4"]) image(digit, 10 * 1024 * 1024);
  await bed.own.takeIntermediate(a.tenant, [idOf("2"), idOf("3"), idOf("4")]);
  image("5", 60 * 1024);
  await bed.own.take(a.tenant, idOf("5"), signal);
  image("6", 2 * 1024 * 1024);
  await bed.own.takeIntermediate(a.tenant, [idOf("6")]);
  image("7", 1024);
  await expect(bed.own.take(a.tenant, idOf("7"), signal)).rejects.toMatchObject(refused);
  expect(bed.engine.images.map(({ Id }) => Id)).not.toContain(idOf("7"));
});

test("tag refuses a new name with a digest", async () => {
  bed.engine.images.push({ Id: idOf("1"), RepoTags: [nameOf("a", "app:v1")] });
  const withDigest = bed.images.tag(a, "app:v1", `other:v1@${idOf("d")}`);
  await expect(withDigest).rejects.toMatchObject({ rule: "name.digest" });
  await bed.images.tag(a, "app:v1", "other:v1");
  expect(bed.engine.requests.at(-1)).toBe(
    `POST /images/${idOf("1")}/tag repo=guard.internal/a/docker.io/library/other tag=v1`,
  );
});

test("tag refuses a new name beyond the quota, but accepts one that the image has", async () => {
  bed.engine.images.push({ Id: idOf("1"), RepoTags: [nameOf("a", "app:v1"), nameOf("a", "app:v2")] });
  const full = callerOf(tenantOf("a", { images: 2 }));
  await expect(bed.images.tag(full, "app:v1", "app:v3")).rejects.toMatchObject({ rule: "quota.images" });
  await bed.images.tag(full, "app:v1", "app:v2");
});

test("neither pushes nor saves images of others or images without a name", async () => {
  bed.engine.images.push(
    { Id: idOf("1"), RepoTags: ["host:v1"] },
    { Id: idOf("2"), RepoTags: [nameOf("a", "app:v1")] },
  );
  const push = { credentials: undefined, platform: undefined, onLine: () => {} };
  for (const name of ["host:v1", "app", "2222", `app@${idOf("d")}`])
    await expect(bed.images.push(a, name, push)).rejects.toMatchObject({ rule: "image.unknown" });
  for (const name of ["host:v1", "host", idOf("1")])
    await expect(bed.images.save(a, [name], {})).rejects.toMatchObject({ rule: "image.unknown" });
  await expect(bed.images.save(a, Array<string>(1001).fill("app:v1"), {})).rejects.toMatchObject({
    rule: "image.names",
  });
  await expect(bed.own.take(a.tenant, idOf("9"), signal)).rejects.toMatchObject({ rule: "image.unknown" });
});

test("reports an image as unknown if it is removed between two requests", async () => {
  bed.engine.images.push({ Id: idOf("1"), RepoTags: [nameOf("a", "app:v1")] });
  const json = bed.engine.json.bind(bed.engine);
  bed.engine.json = async (request) => {
    if (request.path === `/images/${idOf("1")}/json`) throw new EngineAnswer(404, "No such image");
    return await json(request);
  };
  await expect(bed.images.inspect(a, "app:v1", { manifests: false })).rejects.toMatchObject({ rule: "image.unknown" });
  await expect(bed.images.remove(a, "app:v1", plainly)).rejects.toMatchObject({ rule: "image.unknown" });
  expect(bed.engine.images).toHaveLength(1);
});
