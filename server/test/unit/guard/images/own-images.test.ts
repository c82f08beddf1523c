import { expect, test } from "vitest";
import { a, idOf, Labels, nameOf, useImagesBed } from "../../../fixtures/guard/images-bed.ts";
import { tenantOf } from "../../../fixtures/guard/tenants.ts";

const signal = new AbortController().signal;
const bed = useImagesBed();

test("find returns no foreign image on an engine that looks up names only by their digest", async () => {
  bed.engine.images.push({ Id: idOf("1"), RepoTags: ["host:v1"] });
  bed.engine.looksUpDigestsOnly = true;
  await expect(bed.own.find("a", `x@${idOf("1")}`, signal)).rejects.toMatchObject({ statusCode: 404 });
});

test("find prefers a name to the beginning of an ID, and refuses an ambiguous beginning", async () => {
  const ids = [`sha256:bee${"1".repeat(61)}`, `sha256:bee${"2".repeat(61)}`] as const;
  bed.engine.images.push(
    { Id: ids[0], RepoTags: [nameOf("a", "one:v1")] },
    { Id: ids[1], RepoTags: [nameOf("a", "bee1:latest")] },
  );
  expect(await bed.own.find("a", "bee1", signal)).toMatchObject({ id: ids[1], foundAs: nameOf("a", "bee1:latest") });
  expect(await bed.own.find("a", "sha256:bee1", signal)).toMatchObject({ id: ids[0] });
  await expect(bed.own.find("a", "bee", signal)).rejects.toMatchObject({ rule: "image.ambiguous", statusCode: 404 });
});

test("take refuses an image without the tenant's label, and removes one that the ledger or a quota does not allow", async () => {
  bed.engine.images.push({ Id: idOf("1"), RepoTags: ["host:v1"], Labels: { "docker-over-ssh.guard.tenant": "b" } });
  await expect(bed.own.take(a.tenant, idOf("1"), signal)).rejects.toMatchObject({ rule: "image.not-stamped" });
  expect(bed.engine.images).toHaveLength(1);
  bed.engine.images.push({ Id: idOf("2"), RepoTags: [nameOf("a", "app:v1")], Size: 10, Labels });
  const full = tenantOf("a", { bytes: 9 });
  await expect(bed.own.take(full, idOf("2"), signal)).rejects.toMatchObject({ rule: "quota.bytes" });
  expect(bed.engine.images).toHaveLength(1);
  expect(bed.ledger.read("a").images).toEqual([]);
  // A removed image does not count when the next build starts.
  await using _ = await bed.limits.startBuild(full);
});

test("counts only a tenant's own images, not those of others or of steps", async () => {
  bed.engine.images.push(
    { Id: idOf("1"), RepoTags: [nameOf("a", "app:v1")], Size: 5, Labels },
    { Id: idOf("2"), RepoTags: ["host:v1"], Size: 100 },
    { Id: idOf("3"), RepoTags: [nameOf("b", "app:v1")], Size: 100 },
    { Id: idOf("4"), RepoTags: [], Size: 5 },
  );
  await bed.own.takeIntermediate(a.tenant, [idOf("4")]);
  expect((await bed.own.list("a", signal)).map(({ id }) => id)).toEqual([idOf("1")]);
  await bed.own.take(tenantOf("a", { bytes: 5, images: 1 }), idOf("1"), signal);
});

test("take counts the names that an image gets next, and leaves an existing image unchanged if they are too many", async () => {
  const [one, two, three] = ["one:v1", "two:v1", "three:v1"].map((name) => nameOf("a", name)) as [
    string,
    string,
    string,
  ];
  bed.engine.images.push({ Id: idOf("1"), RepoTags: [one], Labels }, { Id: idOf("2"), RepoTags: [], Labels });
  const full = tenantOf("a", { images: 2 });
  await bed.own.take(full, idOf("2"), signal, [two, two]);
  // The image 1 loses the name, and counts without one.
  await bed.own.take(full, idOf("2"), signal, [one]);
  await expect(bed.own.take(full, idOf("2"), signal, [two, three])).rejects.toMatchObject({ rule: "quota.images" });
  await expect(bed.own.take(full, idOf("1"), signal, [two])).rejects.toMatchObject({ rule: "quota.images" });
  expect(bed.engine.images.map(({ RepoTags }) => RepoTags)).toEqual([[one], []]);
  bed.engine.images.push({ Id: idOf("3"), RepoTags: [], Labels });
  await expect(bed.own.take(full, idOf("3"), signal, [three])).rejects.toMatchObject({ rule: "quota.images" });
  expect(bed.engine.images).toHaveLength(2);
});

test("never removes an image by its ID if the host also has a name for it", async () => {
  const removals = (): string[] => bed.engine.requests.splice(0).filter((line) => line.startsWith("DELETE"));
  bed.engine.images.push({ Id: idOf("1"), RepoTags: [nameOf("a", "app:v1"), "host:v1"], Size: 10, Labels });
  await expect(bed.own.take(tenantOf("a", { bytes: 9 }), idOf("1"), signal)).rejects.toMatchObject({
    rule: "quota.bytes",
  });
  expect(removals()).toEqual([`DELETE /images/${nameOf("a", "app:v1")} noprune=1`]);
  bed.engine.images[0]?.RepoTags.push(nameOf("a", "app:v1"));
  await bed.images.remove(a, idOf("1"), { force: true, noPrune: false });
  expect(removals()).toEqual([`DELETE /images/${nameOf("a", "app:v1")} noprune=1`]);
  expect(bed.engine.images).toMatchObject([{ RepoTags: ["host:v1"] }]);
});
