import { expect, test } from "vitest";
import { a, idOf, Labels, nameOf, plainly, useImagesBed } from "../../../fixtures/guard/images-bed.ts";

const signal = new AbortController().signal;
const bed = useImagesBed();

test("does not force a removal, and does not name the container that uses the image", async () => {
  bed.engine.images.push({ Id: idOf("1"), RepoTags: [nameOf("a", "app:v1")], isUsed: true });
  const message = "conflict: unable to delete app:v1 - a container is using it";
  await expect(bed.images.remove(a, "app:v1", { force: true, noPrune: false })).rejects.toMatchObject({
    message,
    statusCode: 409,
  });
  expect(bed.engine.requests.filter((line) => line.startsWith("DELETE"))).toEqual([
    `DELETE /images/${nameOf("a", "app:v1")} noprune=1`,
  ]);
});

test("removes steps with their image, but keeps a parent that is not the tenant's", async () => {
  bed.engine.images.push(
    { Id: idOf("1"), RepoTags: [nameOf("a", "app:v1")], ParentId: idOf("2"), Labels },
    { Id: idOf("2"), RepoTags: [], ParentId: idOf("3") },
    { Id: idOf("3"), RepoTags: [] }, // a base of the host that has lost its name
  );
  await bed.own.takeIntermediate(a.tenant, [idOf("2")]);
  await bed.own.take(a.tenant, idOf("1"), signal);
  expect(await bed.images.remove(a, "app:v1", plainly)).toEqual([
    { Untagged: "app:v1" },
    { Deleted: idOf("1") },
    { Deleted: idOf("2") },
  ]);
  expect(bed.engine.images).toMatchObject([{ Id: idOf("3") }]);
  expect(bed.ledger.read("a").images).toEqual([]);
});

test("removes an image by ID with several names only if that is forced", async () => {
  bed.engine.images.push({ Id: idOf("1"), RepoTags: [nameOf("a", "app:v1"), nameOf("a", "app:v2")] });
  await expect(bed.images.remove(a, idOf("1"), plainly)).rejects.toMatchObject({
    rule: "image.conflict",
    statusCode: 409,
  });
  expect(bed.engine.images).toHaveLength(1);
  expect(await bed.images.remove(a, idOf("1"), { force: true, noPrune: false })).toContainEqual({ Deleted: idOf("1") });
});
