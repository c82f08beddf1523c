import { expect, test } from "vitest";
import { storeWithoutIndexes } from "../../../src/engine/store-without-indexes.ts";
import { indexesInEngine } from "../../../src/receive/into-engine/index-in-engine.ts";
import type { Engine } from "../../../src/engine/engine.ts";

const info = { version: "5.8.0", apiVersion: "1.41", platform: { os: "linux", architecture: "amd64" } };
const engine = { address: "unix:///x", contentStore: async () => undefined } as unknown as Engine;

test.each([
  ["podman", "the API of Podman at unix:///x supports one platform", "skopeo copy --all"],
  ["graphdriver", "the classic store of unix:///x stores one platform", "containerd-snapshotter"],
] as const)(
  "an engine with the store of %s rejects an index, and the error says what to do",
  (store, message, hint) => {
    expect(() => indexesInEngine(engine, { ...info, store }, false)).toThrow(message);
    expect(storeWithoutIndexes({ store }, "unix:///x")).toMatchObject({
      code: "refused",
      hint: expect.stringContaining(hint) as string,
    });
  },
);

test("rejects an index for an engine that pulls by itself, and for an engine without access to its content store", async () => {
  const containerd = { ...info, store: "containerd" } as const;
  expect(() => indexesInEngine(engine, containerd, true)).toThrow("pulls one platform of an index");
  const target = indexesInEngine(engine, containerd, false);
  await expect(target.present([], { signal: new AbortController().signal } as never)).rejects.toThrow(
    "does not provide access to its content store",
  );
});
