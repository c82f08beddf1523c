/** Hostile layers in an archive. The sender or the receiver rejects them. */
import { gzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { MEDIA_TYPE } from "../../../src/image/manifest.ts";
import { configFor, gzipped, plain } from "../image/make-image.ts";
import { makeTar, type TestEntry } from "../image/tar/make-tar.ts";
import { layoutOf } from "../command-line/images.ts";
import {
  GB,
  descriptors,
  image,
  layout,
  layoutFolder,
  other,
  replaced,
  saved,
  tarFile,
  top,
  topBlob,
  withStoredLayer,
} from "./hostile-archives.ts";
import { makeWorkspace, outcome, program, refused } from "./run-program.ts";

describe.concurrent("layers, which are read when they are sent:", () => {
  const half = gzipSync(image.layers[1] ?? "").subarray(0, -100);
  const zeros = Buffer.alloc(GB / 8);
  const bombImage = { layers: [zeros], ...configFor([zeros]) };
  const tar = async (entries: TestEntry[]): Promise<string> =>
    `docker-archive:${await tarFile(await makeTar(entries))}`;
  const oci = async (entries: TestEntry[]): Promise<string> => `oci:${await layoutFolder(entries)}`;

  test.each<[string, () => Promise<string>, number, RegExp, string[]?]>([
    [
      "a plain layer of another digest",
      async () => await tar(replaced(saved, top, { content: Buffer.alloc(image.layers[1]?.length ?? 0) })),
      12,
      /has the digest sha256:/,
    ],
    [
      "a blob of another digest",
      async () => await oci(replaced(layout, topBlob, { content: Buffer.alloc(descriptors[1]?.size ?? 0) })),
      12,
      /is damaged|failed verification/,
    ],
    [
      "truncated gzip in a docker archive",
      async () => await tar(replaced(saved, top, { content: half })),
      12,
      /cannot be decompressed: unexpected end of file/,
    ],
    [
      "truncated gzip with a digest of its own",
      async () => await oci(withStoredLayer(() => ({ blob: half, mediaType: MEDIA_TYPE.ociLayerGzip }))),
      12,
      /cannot be decompressed: unexpected end of file/,
    ],
    [
      "a blob that unpacks to another layer",
      async () => await oci(withStoredLayer(() => gzipped(other.layers[0] ?? Buffer.alloc(0)))),
      12,
      /the uncompressed layer .* has the digest/,
    ],
    [
      "an invalid media type",
      async () => await oci(withStoredLayer((layer) => ({ blob: layer, mediaType: "text/html" }))),
      12,
      /media type "text\/html", which is not a tar/,
    ],
    [
      "an invalid media type of a compressed layer",
      async () => await oci(withStoredLayer((layer) => ({ ...gzipped(layer), mediaType: "text/html" }))),
      12,
      /media type "text\/html", which is not a tar/,
    ],
    [
      "a zip bomb against --max-size",
      async () => await oci(layoutOf([{ image: bombImage, ref: "v1" }])),
      13,
      /larger than the 10485760 bytes/,
      ["--max-size", "10m"],
    ],
    [
      "a plain bomb against --max-size",
      async () => await oci(layoutOf([{ image: bombImage, ref: "v1" }], plain)),
      13,
      /larger than the 10485760 bytes/,
      ["--max-size", "10m"],
    ],
  ])("%s", async (_, source, status, message, options = []) => {
    const { run } = await makeWorkspace();
    const pull = [...program, "pull", ...options, "--to", "oci:target", "app:v1"];
    expect(outcome(await run("push", await source(), ...pull))).toEqual(refused(status, message));
  });
});
