import { expect, test } from "vitest";
import type { Engine } from "../../../src/engine/engine.ts";
import { parseReference } from "../../../src/image/reference.ts";
import { planOldImages } from "../../../src/receive/old-images.ts";

/** An engine that finds names as Docker does: by the short form alone. */
const images = ["app:v1", "app:v2", "app:v3"].map((name, index) => ({ name, id: `id-${index}`, created: index }));
const engine = {
  listTagged: async (repository: string) => (repository === "app" ? images : []),
  inspectImage: async (id: string) => ({ lastTagged: images.findIndex((image) => image.id === id) }),
  usedImages: async () => new Set(["docker.io/library/app:v2"]),
} as unknown as Engine;

test.each(["app:v4", "docker.io/library/app:v4", "library/app:v4", "index.docker.io/library/app:v4"])(
  "the older images of %s are found, and those that a container uses stay",
  async (name) => {
    expect(await planOldImages(engine, [parseReference(name)], 2, undefined)).toEqual(["app:v1"]);
  },
);
