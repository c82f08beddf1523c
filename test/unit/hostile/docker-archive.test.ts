/** A hostile docker archive. The sender rejects it before it starts the remote command. */
import { gzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { configFor, dockerManifest } from "../image/make-image.ts";
import { forgeSize, makeTar, type TestEntry } from "../image/tar/make-tar.ts";
import {
  configName,
  hugeFirst,
  layerNames,
  lowest,
  other,
  push,
  replaced,
  saved,
  tarFile,
  thousands,
  top,
  without,
} from "./hostile-archives.ts";
import { refused } from "./run-program.ts";

describe.concurrent("a docker archive", () => {
  test.each<[string, TestEntry[], number, RegExp]>([
    [
      "a path outside the archive",
      [{ name: "a/../../../etc/cron.d/hostile", content: "x" }, ...saved],
      3,
      /"a\/..\/..\/..\/etc\/cron.d\/hostile", which leads out of it/,
    ],
    ["a folder outside the archive", [{ name: "../hostile/", type: "directory" }, ...saved], 3, /leads out of it/],
    [
      "a layer that is a link outside the archive",
      replaced(saved, top, { type: "symlink", linkname: "../../../etc/passwd" }),
      12,
      /link ".*" leads out of it, to "..\/..\/..\/etc\/passwd"/,
    ],
    [
      "a layer that is an absolute link",
      replaced(saved, top, { type: "symlink", linkname: "/etc/passwd" }),
      12,
      /leads out of it, to "\/etc\/passwd"/,
    ],
    [
      "a config that is a hard link outside the archive",
      replaced(saved, configName, { type: "link", linkname: "../../etc/passwd" }),
      12,
      /leads out of it/,
    ],
    [
      "a manifest that is a link outside the archive",
      replaced(saved, "manifest.json", { type: "link", linkname: "../etc/passwd" }),
      3,
      /leads out of it/,
    ],
    [
      "links to each other",
      [...replaced(saved, top, { type: "symlink", linkname: "b" }), { name: "b", type: "symlink", linkname: top }],
      12,
      /link ".*" leads nowhere/,
    ],
    ["a pipe", [...saved, { name: "pipe", type: "fifo" }], 3, /neither a file, a folder nor a link/],
    [
      "the same layer twice",
      [...saved, { name: lowest, content: other.layers[0] ?? "" }],
      3,
      /the archive has ".*" twice/,
    ],
    ["two manifests", [...saved, dockerManifest(configName, [])], 3, /the archive has "manifest.json" twice/],
    [
      "the same path in two spellings",
      [...saved, { name: `./${lowest}`, content: "x" }],
      3,
      /the archive has ".*" twice/,
    ],
    [
      "a manifest with 10,000 layers",
      [...without(saved, "manifest.json"), dockerManifest(configName, thousands(lowest))],
      3,
      /more than 1000 layers/,
    ],
    [
      "a manifest with 10,000 images",
      replaced(saved, "manifest.json", { content: JSON.stringify(thousands({ Config: "a" })) }),
      3,
      /more than 1000 images/,
    ],
    [
      "a config with 10,000 layers",
      [
        { name: "c.json", content: configFor(thousands(Buffer.alloc(0))).config },
        ...without(saved, "manifest.json"),
        dockerManifest("c.json", [lowest]),
      ],
      12,
      /its config has no list of layers/,
    ],
    [
      "a config path outside the archive",
      [...without(saved, "manifest.json"), dockerManifest("../../etc/passwd", layerNames)],
      3,
      /leads out of it/,
    ],
    [
      "a config of another digest",
      replaced(saved, configName, { content: other.config }),
      12,
      /the config ".*" has the digest sha256:/,
    ],
    [
      "fewer layers than the config",
      [...without(saved, "manifest.json"), dockerManifest(configName, [lowest])],
      12,
      /names 1 layers, the image's config 2/,
    ],
  ])("with %s", async (_, entries, status, message) => {
    expect(await push(`docker-archive:${await tarFile(await makeTar(entries))}`)).toEqual(refused(status, message));
  });

  test.each<[string, (tar: Buffer) => Buffer, RegExp]>([
    ["truncated", (tar) => tar.subarray(0, tar.length / 2), /ends in the middle of/],
    ["with a file that is larger than the archive", (tar) => forgeSize(tar, 0, 2 ** 32), /ends in the middle of/],
    ["with a file that is smaller than it is", (tar) => forgeSize(tar, 0, 512), /not a tar archive, or a damaged one/],
    [
      "compressed as a whole, and cut off",
      (tar) => gzipSync(tar).subarray(0, 3000),
      /the whole file is compressed with gzip/,
    ],
  ])("%s", async (_, change, message) => {
    expect(await push(`docker-archive:${await tarFile(change(await makeTar(saved)))}`)).toEqual(refused(3, message));
  });

  test("with a config of 1 GB", async () => {
    const path = await hugeFirst([{ name: configName }, ...without(saved, configName)]);
    expect(await push(`docker-archive:${path}`)).toEqual(refused(12, /larger than 8388608 bytes/));
  });

  test("with a manifest of 1 GB", async () => {
    const path = await hugeFirst([{ name: "manifest.json" }, ...without(saved, "manifest.json")]);
    expect(await push(`docker-archive:${path}`)).toEqual(refused(3, /larger than 4194304 bytes/));
  });
});
