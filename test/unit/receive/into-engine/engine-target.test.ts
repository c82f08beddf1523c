import { describe, expect, test } from "vitest";
import type { ReceiveOptions } from "../../../../src/receive/receive-options.ts";
import { engineTarget } from "../../../../src/receive/into-engine/engine-target.ts";
import type { Engine } from "../../../../src/engine/engine.ts";
import { digestOf } from "../../../../src/image/digest.ts";
import { AMD64 } from "../../image/platforms.ts";

describe("an image with more layers than a classic store accepts", () => {
  /** Receives an image with this number of layers. Returns the error of the first request to the sender or the store, at the latest. */
  async function receiveInto(store: string, layers: number): Promise<unknown> {
    const fail = async (): Promise<never> => await Promise.reject(new Error("went on"));
    const engine = {
      address: "there",
      info: async () => ({ store, platform: AMD64, version: "28", apiVersion: "1.51" }),
      contentStore: fail,
      inspectImage: fail,
      listReferences: fail,
      listImageIds: fail,
      newestOf: fail,
    } as unknown as Engine;
    const target = await engineTarget(engine);
    const diffIds = Array.from({ length: layers }, (_, index) => digestOf(String(index)));
    const about = { diffIds, platform: AMD64 };
    const image = { given: "app", domain: "docker.io", path: "library/app", tag: "latest" };
    const run = { image, about, obtain: fail, decline: fail, run: "r", signal: new AbortController().signal };
    return await target.receive(run as unknown as ReceiveOptions).catch((error: unknown) => error);
  }

  test("is refused for a classic store before anything is requested", async () => {
    expect(await receiveInto("graphdriver", 126)).toMatchObject({
      code: "refused",
      message: "the image has 126 layers, and the classic store of there takes at most 125",
    });
  });

  test.each([
    ["graphdriver", 125],
    ["containerd", 126],
    ["podman", 126],
  ])("is accepted by %s with %i layers", async (store, layers) => {
    expect(await receiveInto(store, layers)).not.toMatchObject({ code: "refused" });
  });
});
