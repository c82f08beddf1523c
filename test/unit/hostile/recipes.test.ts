/** A hostile sender of recipes. */
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
import { MAX_MEMORY, makeWorkspace, type ProgramRun } from "./run-program.ts";

const MB = 1_000_000;
const diffIds = Array.from({ length: 20 }, (_, index) => digestOf(`layer ${index}`));

/** Pulls, with the real program, an image of 20 layers that all have this recipe. `play` runs when the layers are announced. */
async function pull(
  recipe: () => AsyncIterable<Buffer>,
  options: string[],
  play: (untilRequested: (path: RegExp) => Promise<void>) => Promise<void>,
): Promise<ProgramRun & { recipes: number }> {
  const { run, socket } = await makeWorkspace();
  const paths: string[] = [];
  let wake: (() => void)[] = [];
  const untilRequested = async (path: RegExp): Promise<void> => {
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
  await using remote = await playRemoteSide(socket, "sender", async (tunnel) => {
    await tunnel.next("ask");
    await tunnel.send({ type: "about", diffIds, platform: "linux/amd64" });
    const want = await tunnel.next("want");
    expect(want["delta"]).toBe(true); // the target has an image
    tunnel.listen("registry", (stream: Duplex) => void server.emit("connection", asSocket(stream)));
    const credentials = { username: "u", password: "p" };
    await tunnel.send({ type: "offer", repository: "app", tag: "v1", announced: true, credentials });
    for (const diffId of diffIds) {
      const blob = { mediaType: MEDIA_TYPE.ociLayer, digest: diffId, size: 90 * MB };
      await tunnel.send({ type: "layer", diffId, ...blob, pieces: "too" });
    }
    await play(untilRequested);
    await tunnel.close();
  });
  const ended = await run("pull", "--delta=always", ...options, "--to", "oci:target", "app:v1", ...remote.command);
  return { ...ended, recipes: paths.filter((path) => path.includes("/_delta/recipe/")).length };
}

/** 90 MB of zeros in 3 kB. */
async function* zeros(): AsyncGenerator<Buffer> {
  yield* encodeRecipe(cutTar(Readable.from(Array.from({ length: 90 }, () => Buffer.alloc(MB - (MB % 512))))));
}

test("a rebuilt layer with a wrong digest leaves no file if the link breaks, and ends the transfer by delta", async () => {
  const { exitCode, changed, recipes, peak } = await pull(zeros, ["--max-size", "100m"], async (untilRequested) => {
    await untilRequested(/\/blobs\/sha256:(?!0000)/); // the request for the whole layer
  });
  expect({ exitCode, changed, recipes }).toEqual({ exitCode: expect.any(Number) as number, changed: [], recipes: 1 });
  expect(exitCode).not.toBe(0);
  expect(peak).toBeLessThan(MAX_MEMORY);
});

test("a recipe with the maximum number of pieces takes little memory", async () => {
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
    async (untilRequested) => await untilRequested(/\/_delta\/pieces\//),
  );
  expect(exitCode).not.toBe(0);
  expect(peak).toBeLessThan(MAX_MEMORY);
}, 120_000);
