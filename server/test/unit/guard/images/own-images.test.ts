import { expect, test } from "vitest";
import { a, idOf, Labels, nameOf, useImagesBed } from "../../../fixtures/guard/images-bed.ts";
import { tenantOf } from "../../../fixtures/guard/tenants.ts";

const signal = new AbortController().signal;
const bed = useImagesBed();

test("an engine that looks up the digest of a name alone does not give away another's image", async () => {
  bed.engine.images.push({ Id: idOf("1"), RepoTags: ["host:v1"] });
  bed.engine.looksUpDigestsOnly = true;
  await expect(bed.own.find("a", `x@${idOf("1")}`, signal)).rejects.toMatchObject({ statusCode: 404 });
});

test("a name comes before the beginning of an ID; an ambiguous beginning is none", async () => {
  const ids = [`sha256:bee${"1".repeat(61)}`, `sha256:bee${"2".repeat(61)}`] as const;
  bed.engine.images.push(
    { Id: ids[0], RepoTags: [nameOf("a", "one:v1")] },
    { Id: ids[1], RepoTags: [nameOf("a", "bee1:latest")] },
  );
  expect(await bed.own.find("a", "bee1", signal)).toMatchObject({ id: ids[1], foundAs: nameOf("a", "bee1:latest") });
  expect(await bed.own.find("a", "sha256:bee1", signal)).toMatchObject({ id: ids[0] });
  await expect(bed.own.find("a", "bee", signal)).rejects.toMatchObject({ rule: "image.ambiguous", statusCode: 404 });
});

test("take refuses an image without the tenant's label, and removes one that the ledger or a quota does not take", async () => {
  bed.engine.images.push({ Id: idOf("1"), RepoTags: ["host:v1"], Labels: { "docker-over-ssh.guard.tenant": "b" } });
  await expect(bed.own.take(a.tenant, idOf("1"), signal)).rejects.toMatchObject({ rule: "image.not-stamped" });
  expect(bed.engine.images).toHaveLength(1);
  bed.engine.images.push({ Id: idOf("2"), RepoTags: [nameOf("a", "app:v1")], Size: 10, Labels });
  const full = tenantOf("a", { bytes: 9 });
  await expect(bed.own.take(full, idOf("2"), signal)).rejects.toMatchObject({ rule: "quota.bytes" });
  expect(bed.engine.images).toHaveLength(1);
  expect(bed.ledger.read("a").images).toEqual([]);
  // What was removed does not count when the next build starts.
  await using _ = await bed.limits.startBuild(full);
});

test("what counts as a tenant's are its own images, not those of others, nor of steps", async () => {
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

test("names that an image is given next count; one that is there is left as it was where they are too many", async () => {
  const [one, two, three] = ["one:v1", "two:v1", "three:v1"].map((name) => nameOf("a", name)) as [
    string,
    string,
    string,
  ];
  bed.engine.images.push({ Id: idOf("1"), RepoTags: [one], Labels }, { Id: idOf("2"), RepoTags: [], Labels });
  const full = tenantOf("a", { images: 2 });
  await bed.own.take(full, idOf("2"), signal, [two, two]);
  // It loses the name, and counts without one.
  await bed.own.take(full, idOf("2"), signal, [one]);
  await expect(bed.own.take(full, idOf("2"), signal, [two, three])).rejects.toMatchObject({ rule: "quota.images" });
  await expect(bed.own.take(full, idOf("1"), signal, [two])).rejects.toMatchObject({ rule: "quota.images" });
  expect(bed.engine.images.map(({ RepoTags }) => RepoTags)).toEqual([[one], []]);
  bed.engine.images.push({ Id: idOf("3"), RepoTags: [], Labels });
  await expect(bed.own.take(full, idOf("3"), signal, [three])).rejects.toMatchObject({ rule: "quota.images" });
  expect(bed.engine.images).toHaveLength(2);
});

test("an image that the host has a name for as well is never asked to go by its ID", async () => {
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
