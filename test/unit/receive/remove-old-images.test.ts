import { describe, expect, test } from "vitest";
import { EngineError } from "../../../src/engine/engine-error.ts";
import type { Engine } from "../../../src/engine/engine.ts";
import { parseReference, type Reference } from "../../../src/image/reference.ts";
import { planOldImages, removeOldImages } from "../../../src/receive/remove-old-images.ts";

/** The names in a store, with the ID of each image. `app:v1` was tagged first. */
type Names = Map<string, string>;

/** An engine that finds names like Docker: only by the short form. `onUsed` is called on the second query for the images that containers use. */
function engineWith(names: Names, { used = [] as string[], onUsed = (): void => {} } = {}): Engine {
  const numberOf = (id: string): number => Number(id.slice("id-".length));
  let asked = 0;
  return {
    layersSize: async () => undefined,
    listTagged: async (repository: string) =>
      repository === "app" ? [...names].map(([name, id]) => ({ name, id, created: numberOf(id) })) : [],
    inspectImage: async (nameOrId: string) => {
      const id = names.get(nameOrId) ?? nameOrId;
      return [...names.values()].includes(id) ? { id, lastTagged: numberOf(id) } : undefined;
    },
    usedImages: async () => {
      asked += 1;
      if (asked === 2) onUsed();
      return new Set(used);
    },
    removeReference: async (name: string) => {
      const id = names.get(name) ?? "";
      const isLast = [...names.values()].filter((one) => one === id).length === 1;
      if (isLast && used.includes(id)) throw new EngineError("a container uses it", 409);
      names.delete(name);
    },
  } as unknown as Engine;
}

const versions = (...more: [string, string][]): Names =>
  new Map([["app:v1", "id-1"], ["app:v2", "id-2"], ["app:v3", "id-3"], ...more]);
const names = (...given: [string, ...string[]]) => given.map(parseReference) as [Reference, ...Reference[]];

test.each(["app:v4", "docker.io/library/app:v4", "library/app:v4", "index.docker.io/library/app:v4"])(
  "finds the older images of %s, and keeps those that a container uses",
  async (name) => {
    const engine = engineWith(versions(), { used: ["docker.io/library/app:v2"] });
    expect(await planOldImages(engine, names(name), 2, [])).toEqual(["app:v1"]);
  },
);

describe("a plan contains the names that the transfer would remove if", () => {
  test.each([
    ["the image is new", 3, names("app:v4"), [], ["app:v1"]],
    ["the image is already present", 2, names("app:v3"), ["config", "id-3"], ["app:v1"]],
    ["the image is already present under another name", 2, names("app:v4"), ["config", "id-3"], ["app:v1"]],
    ["another image loses its name", 3, names("app:v4", "app:v3"), [], []],
  ])("%s", async (_, keep, given, ids, expected) => {
    expect(await planOldImages(engineWith(versions()), given, keep, ids)).toEqual(expected);
  });
});

test("orders images that were built within one second, if the engine reports no time of their tags", async () => {
  const built = new Map([
    ["id-1", 1200],
    ["id-2", 1700],
    ["id-3", 1100],
  ]);
  const engine: Engine = {
    ...engineWith(versions()),
    listTagged: async () => [...versions()].map(([name, id]) => ({ name, id, created: 1000 })),
    inspectImage: async (id: string) => ({ id, created: built.get(id) }),
  } as unknown as Engine;
  expect(await planOldImages(engine, names("app:v4"), 2, [])).toEqual(["app:v1", "app:v3"]);
});

describe("between the list and the removal", () => {
  test("keeps an image that a container begins to use, with all its names", async () => {
    const store = versions(["app:old", "id-1"], ["app:v4", "id-4"]);
    const used: string[] = [];
    const engine = engineWith(store, { used, onUsed: () => void used.push("id-1") });
    expect(await removeOldImages(engine, names("app:v4"), 2, "id-4")).toEqual({ names: ["app:v2"] });
    expect([...store.keys()]).toEqual(["app:v1", "app:v3", "app:old", "app:v4"]);
  });

  test("keeps a name that was given to another image", async () => {
    const store = versions(["app:v4", "id-4"]);
    const engine = engineWith(store, { onUsed: () => void store.set("app:v1", "id-9") });
    expect(await removeOldImages(engine, names("app:v4"), 2, "id-4")).toEqual({ names: ["app:v2"] });
    expect(store.get("app:v1")).toBe("id-9");
  });

  test("keeps an image that the engine refuses to remove", async () => {
    const store = versions(["app:v4", "id-4"]);
    const engine = engineWith(store);
    engine.removeReference = async () => await Promise.reject(new EngineError("a container uses it", 409));
    expect(await removeOldImages(engine, names("app:v4"), 2, "id-4")).toEqual({ names: [] });
  });
});
