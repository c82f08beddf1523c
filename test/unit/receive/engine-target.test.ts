import { describe, expect, test } from "vitest";
import type { ReceiveOptions } from "../../../src/receive/received-image.ts";
import { engineTarget } from "../../../src/receive/engine-target.ts";
import type { Engine } from "../../../src/engine/engine.ts";
import { digestOf } from "../../../src/image/digest.ts";

describe("an image of more layers than the store stacks", () => {
  /** What comes of an image of so many layers; it fails at the first thing that it wants of the sender, or of the store. */
  async function arriveAt(store: string, layers: number): Promise<unknown> {
    const looksUp = async (): Promise<never> => await Promise.reject(new Error("went on"));
    const engine = {
      address: "there",
      info: async () => ({ store, platform: "linux/amd64", version: "28", apiVersion: "1.51" }),
      contentStore: looksUp,
      inspectImage: looksUp,
      listReferences: looksUp,
      listImageIds: looksUp,
      newestOf: looksUp,
    } as unknown as Engine;
    const target = await engineTarget(engine);
    const diffIds = Array.from({ length: layers }, (_, index) => digestOf(String(index)));
    const about = { diffIds, platform: "linux/amd64" };
    const image = { given: "app", domain: "docker.io", path: "library/app", tag: "latest" };
    const run = { image, about, obtain: looksUp, decline: looksUp, run: "r", signal: new AbortController().signal };
    return await target.receive(run as unknown as ReceiveOptions).catch((error: unknown) => error);
  }

  test("is refused by a classic store before anything is wanted, with its limit", async () => {
    expect(await arriveAt("graphdriver", 126)).toMatchObject({
      code: "refused",
      message: "the image has 126 layers, and the classic image store of there takes no more than 125",
    });
  });

  test.each([
    ["graphdriver", 125],
    ["containerd", 126],
    ["podman", 126],
  ])("%s takes %i", async (store, layers) => {
    expect(await arriveAt(store, layers)).not.toMatchObject({ code: "refused" });
  });
});
