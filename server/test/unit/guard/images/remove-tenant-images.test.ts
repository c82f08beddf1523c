import { expect, test } from "vitest";
import { removeTenantImages } from "../../../../src/guard/images/remove-tenant-images.ts";
import { idOf, Labels, nameOf, useImagesBed } from "../../../fixtures/guard/images-bed.ts";

const signal = new AbortController().signal;
const bed = useImagesBed();

test("removes a tenant's images, but keeps those that others name or use; can be repeated", async () => {
  bed.engine.images.push(
    { Id: idOf("1"), RepoTags: [nameOf("a", "app:v1"), "host:v1"], Labels },
    { Id: idOf("2"), RepoTags: [nameOf("b", "app:v1")] },
    { Id: idOf("3"), RepoTags: [], ParentId: idOf("4") },
    { Id: idOf("4"), RepoTags: [] },
    { Id: idOf("5"), RepoTags: [], isUsed: true },
  );
  await bed.ledger.change("a", (record) => {
    record.images = ["1", "4", "3", "5"].map((digit) => ({ id: idOf(digit), created: 1 }));
  });
  expect(await removeTenantImages(bed, "a", signal)).toEqual([idOf("5")]);
  expect(bed.engine.images.map(({ RepoTags }) => RepoTags)).toEqual([["host:v1"], [nameOf("b", "app:v1")], []]);
  expect(bed.ledger.read("a").images).toMatchObject([{ id: idOf("5") }]);
  delete bed.engine.images[2]?.["isUsed"];
  expect(await removeTenantImages(bed, "a", signal)).toEqual([]);
});

test("removes the steps of a build whose guard was killed: images with the tenant's label and without a name", async () => {
  const ofB = { "docker-over-ssh.guard.tenant": "b" };
  bed.engine.images.push(
    { Id: idOf("1"), RepoTags: [], Labels, ParentId: idOf("2") },
    { Id: idOf("2"), RepoTags: [], Labels },
    { Id: idOf("3"), RepoTags: ["host:v1"], Labels },
    { Id: idOf("4"), RepoTags: [], Labels: ofB },
  );
  expect(await removeTenantImages(bed, "a", signal)).toEqual([]);
  expect(bed.engine.images.map(({ Id }) => Id)).toEqual([idOf("3"), idOf("4")]);
});
