/** A sender whose recipes make what was never sent, or ask for more than there is. */
import { createServer } from "node:http";
import { Readable, type Duplex } from "node:stream";
import { pipeline } from "node:stream/promises";
import { expect, test } from "vitest";
import { cutTar, type Segment } from "../../../src/delta/cut-tar.ts";
import { encodeRecipe } from "../../../src/delta/encode-recipe.ts";
import { MAX_PIECES } from "../../../src/delta/recipe.ts";
import { digestOf } from "../../../src/image/digest.ts";
import { MEDIA_TYPE } from "../../../src/image/manifest.ts";
import { commonCodec } from "../../../src/packing/codecs.ts";
import { pack, PACKED_ENCODING } from "../../../src/packing/pack.ts";
import { asSocket } from "../../../src/streams/bridge.ts";
import { playRemoteSide } from "./remote-side.ts";
import { MODEST, workplace, type Ended } from "./run-program.ts";

const MB = 1_000_000;
const diffIds = Array.from({ length: 20 }, (_, index) => digestOf(`layer ${index}`));

/** The real program pulls an image of 20 layers, each of which that recipe is said to make. `play`: what is said when it has been read. */
async function pull(
  recipe: () => AsyncIterable<Buffer>,
  options: string[],
  play: (asked: (path: RegExp) => Promise<void>) => Promise<void>,
): Promise<Ended & { recipes: number }> {
  const { run, socket } = await workplace();
  const paths: string[] = [];
  let wake: (() => void)[] = [];
  const asked = async (path: RegExp): Promise<void> => {
    while (!paths.some((one) => path.test(one))) await new Promise<void>((resolve) => wake.push(resolve));
  };
  const server = createServer((request, response) => {
    paths.push(request.url ?? "");
    for (const one of wake.splice(0)) one();
    response.on("error", () => {});
    if (!request.url?.includes("/_delta/recipe/")) return;
    response.setHeader("content-encoding", PACKED_ENCODING);
    const packed = pack(recipe(), { codec: commonCodec(["gzip"]), level: () => 1 });
    pipeline(Readable.from(packed, { objectMode: false }), response).catch(() => {});
  });
  await using far = await playRemoteSide(socket, "sender", async (tunnel) => {
    await tunnel.next("ask");
    await tunnel.send({ type: "about", diffIds, platform: "linux/amd64" });
    const want = await tunnel.next("want");
    expect(want["delta"]).toBe(true); // there is an image in the target
    tunnel.listen("registry", (stream: Duplex) => void server.emit("connection", asSocket(stream)));
    const credentials = { username: "u", password: "p" };
    await tunnel.send({ type: "offer", repository: "app", tag: "v1", announced: true, credentials });
    for (const diffId of diffIds) {
      const blob = { mediaType: MEDIA_TYPE.ociLayer, digest: diffId, size: 90 * MB };
      await tunnel.send({ type: "layer", diffId, ...blob, pieces: "too" });
    }
    await play(asked);
    await tunnel.close();
  });
  const ended = await run("pull", "--delta=always", ...options, "--to", "oci:target", "app:v1", ...far.command);
  return { ...ended, recipes: paths.filter((path) => path.includes("/_delta/recipe/")).length };
}

/** 90 MB of zeros in 3 kB. */
async function* zeros(): AsyncGenerator<Buffer> {
  yield* encodeRecipe(cutTar(Readable.from(Array.from({ length: 90 }, () => Buffer.alloc(MB - (MB % 512))))));
}

test("nothing is left of what failed its digest, though the link then breaks; and one such is enough", async () => {
  const { exitCode, changed, recipes, peak } = await pull(zeros, ["--max-size", "100m"], async (asked) => {
    await asked(/\/blobs\/sha256:(?!0000)/); // it is to come whole
  });
  expect({ exitCode, changed, recipes }).toEqual({ exitCode: expect.any(Number) as number, changed: [], recipes: 1 });
  expect(exitCode).not.toBe(0);
  expect(peak).toBeLessThan(MODEST);
});

test("as many pieces as a recipe may have take a receiver little memory", async () => {
  async function* segments(): AsyncGenerator<Segment[]> {
    for (let at = 0; at < MAX_PIECES; at += 4096) {
      yield Array.from({ length: 4096 }, (_, index): Segment => {
        const bytes = Buffer.alloc(4);
        bytes.writeUInt32LE(at + index);
        return { kind: "content", bytes, path: "file" };
      });
    }
  }
  const recipes: Buffer[] = [];
  for await (const chunk of encodeRecipe(segments())) recipes.push(chunk);
  const { exitCode, peak } = await pull(
    async function* () {
      yield* recipes;
    },
    [],
    async (asked) => await asked(/\/_delta\/pieces\//),
  );
  expect(exitCode).not.toBe(0);
  expect(peak).toBeLessThan(MODEST);
}, 120_000);
