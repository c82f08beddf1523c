import { expect, test } from "vitest";
import { readPushRequest } from "../../../src/commands/push.ts";
import { WatchedImages, type MovedImage } from "../../../src/watch/watched-images.ts";

const requests = ["a:v1", "b:v1"].map((name) => readPushRequest(name, { kind: "in-process", with: "engine" }, {}, {}));

/** An engine with these images, and its changes. */
function watch(ids: Record<string, string | undefined>) {
  const images = new WatchedImages(requests);
  const engine = { idOf: async ({ source }: MovedImage["request"]) => await Promise.resolve(ids[source.given]) };
  return {
    all: async () => await images.all(engine),
    /** Returns the names of the images that have moved, and settles them. */
    move: async (change: Record<string, string | undefined>): Promise<string[]> => {
      Object.assign(ids, change);
      const moved = await images.moved(engine);
      for (const image of moved) images.settle(image);
      return moved.map(({ request }) => request.source.given);
    },
  };
}

test("an image has moved if its ID differs from the last ID that was sent", async () => {
  const { move } = watch({ "a:v1": "1", "b:v1": "2" });
  expect(await move({})).toEqual(["a:v1", "b:v1"]);
  expect(await move({})).toEqual([]);
  expect(await move({ "b:v1": "3" })).toEqual(["b:v1"]);
  expect(await move({ "a:v1": "3", "b:v1": "4" })).toEqual(["a:v1", "b:v1"]);
});

test("a removed tag is not sent, and counts as moved only if another image gets it", async () => {
  const { move, all } = watch({ "a:v1": "1" });
  expect((await all()).map(({ id }) => id)).toEqual(["1", undefined]);
  expect(await move({})).toEqual(["a:v1"]);
  expect(await move({ "a:v1": undefined })).toEqual([]);
  expect(await move({ "a:v1": "1" })).toEqual([]);
  expect(await move({ "a:v1": "2" })).toEqual(["a:v1"]);
});
