import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { expect, test } from "vitest";
import type { Digest } from "../../../src/image/digest.ts";
import { CODECS } from "../../../src/packing/codecs.ts";
import { newRunId } from "../../../src/run/run-id.ts";
import { lazySpool } from "../../../src/run/spool.ts";
import { SharedPacking } from "../../../src/send/shared/shared-packing.ts";
import { makeImage } from "../image/make-image.ts";

test("cuts a layer once for all receivers with the same codec", async () => {
  const folder = await mkdtemp(join(tmpdir(), "packing-"));
  const spool = lazySpool({ XDG_CACHE_HOME: folder }, newRunId());
  const { layers, diffIds } = await makeImage([2_000_000]);
  const stop = new AbortController();
  const problems: unknown[] = [];
  const isCut: boolean[] = [];
  const packings = CODECS.slice(0, 2).map(
    (codec) =>
      new SharedPacking({
        packing: { codec },
        spool,
        name: `${codec.name}-auto`,
        signal: stop.signal,
        onFailure: (error) => problems.push(error),
        onNoSpace: (reason) => problems.push(reason),
      }),
  );
  for (const { deltas } of packings) {
    const diffId: Digest = diffIds[0] ?? "";
    deltas.add(diffId, { cutting: "leaves-blob", openPlain: () => Readable.from(layers) });
    isCut.push((await deltas.get(diffId)) !== undefined);
    await deltas.done(diffId);
  }
  expect(problems).toEqual([]);
  expect(isCut).toEqual([true, true]);
  stop.abort();
  for (const packing of packings) await packing[Symbol.asyncDispose]();
  await spool[Symbol.asyncDispose]();
  await rm(folder, { recursive: true });
});
