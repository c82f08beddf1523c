import type { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { expect, test } from "vitest";
import { EngineError, type Engine } from "../../../src/engine/engine.ts";
import { digestOf } from "../../../src/image/digest.ts";
import { MEDIA_TYPE, type Descriptor } from "../../../src/image/manifest.ts";
import { containerdStore } from "../../../src/store/containerd-store.ts";

const diffIds = ["one", "two", "three"].map(digestOf);
const blobs = ["gzip one", "gzip two"].map((bytes): Descriptor => ({
  mediaType: MEDIA_TYPE.ociLayerGzip,
  digest: digestOf(bytes),
  size: 1000,
}));

/** An engine with an image of the two lowest layers unpacked, of whose blobs it holds the first `held`. */
function engineWith(held: number, onLoad: (names: string) => void = () => {}) {
  const trials: string[] = [];
  let size = 0;
  const engine = {
    address: "a fake",
    listImageIds: async () => ["relative"],
    inspectImage: async () => ({ id: "relative", diffIds: diffIds.slice(0, 2), platform: "linux/amd64", size: 0 }),
    async loadImage(archive: Readable) {
      const tar = (await buffer(archive)).toString("latin1");
      const named = blobs.filter(({ digest }) => tar.includes(`"digest":"${digest}"`));
      size = 500 + named.filter((blob) => blobs.indexOf(blob) < held).reduce((all, blob) => all + blob.size, 0);
      onLoad(tar);
    },
    async listedSize(name: string) {
      trials.push(name);
      return size;
    },
    removeReference: async () => {},
  };
  return { engine: engine as unknown as Engine, trials };
}

const details: string[] = [];
const optionsWith = (known: Descriptor[] | undefined) => ({
  platform: "linux/amd64",
  trialName: "localhost/trial:1",
  blobsOf: async () => known,
  onDetail: (text: string) => details.push(text),
});

test("layers are there whose blobs the engine counts in an image of just them", async () => {
  const { engine, trials } = engineWith(2);
  const here = await containerdStore(engine, optionsWith(blobs)).present(diffIds);
  expect(here).toEqual(blobs.map((blob, index) => ({ kind: "here", diffId: diffIds[index], blob })));
  expect(trials).toEqual(["localhost/trial:1"]);
});

test("one whose blob it does not count is sent, and so is what stands on it", async () => {
  expect(await containerdStore(engineWith(1).engine, optionsWith(blobs)).present(diffIds)).toHaveLength(1);
  expect(await containerdStore(engineWith(0).engine, optionsWith(blobs)).present(diffIds)).toEqual([]);
  expect(details).toEqual(["layers are unpacked here whose blobs cannot be proven to be here: they are sent"]);
});

test("an engine that refuses the trial has none of them; one that is gone is told", async () => {
  const refusing = engineWith(2, () => {
    throw new EngineError("content digest: not found");
  });
  expect(await containerdStore(refusing.engine, optionsWith(blobs)).present(diffIds)).toEqual([]);
  const gone = engineWith(2, () => {
    throw new Error("it is gone");
  });
  await expect(containerdStore(gone.engine, optionsWith(blobs)).present(diffIds)).rejects.toThrow("it is gone");
});
