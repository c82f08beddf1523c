import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { digestOf, hexOf } from "../../../src/image/digest.ts";
import { gzipped, makeImage, ociBlobs, saveOci, savePodman } from "../image/make-image.ts";
import { makeTar } from "../image/tar/make-tar.ts";
import { folder, program, run } from "./cli.ts";
import { layoutOf, look, multiPlatformLayout, readTree, whole, writeTar, writeTree } from "./images.ts";

const at = (name: string): string => join(folder, name);
const image = await makeImage([3000, 70_000]);
const other = await makeImage([500]);
const arm = await makeImage([600], { architecture: "arm64", variant: "v8" });

await writeTree(at("layout"), layoutOf([{ image, ref: "v1" }]));
await writeTree(
  at("two"),
  layoutOf([
    { image, ref: "app:v1" },
    { image: other, ref: "app:v2" },
  ]),
);
await writeTree(at("many"), multiPlatformLayout({ "linux/amd64": image, "linux/arm64/v8": arm }, "v1"));
await writeTar(at("app.tar"), await savePodman(image));
const tar = await readFile(at("app.tar"));
await writeFile(at("half.tar.gz"), gzipSync(tar).subarray(0, 3000));
await writeFile(at("app.tar.xz"), Buffer.concat([Buffer.from("fd377a585a00", "hex"), tar]));
await writeFile(at("half.tar"), tar.subarray(0, tar.length / 2));
await writeFile(at("notes.txt"), "no archive\n".repeat(100));
await mkdir(at("other/folder"), { recursive: true });

/** A remote command that sends a hello, and writes its input to a file. */
const listener = (role: string): string[] => {
  const hello = JSON.stringify({ protocol: 1, tool: "0.1.0", role });
  return ["sh", "-c", 'printf "#docker-over-ssh#tunnel#\\n%s\\n" "$1"; exec cat >"$0"', at(`heard-${count++}`), hello];
};
const received = async (far: string[]): Promise<string> => await readFile(far[3] ?? "", "utf8").catch(() => "");
let count = 0;

describe.concurrent("an invalid source causes an error before the peer receives a byte:", () => {
  test.each<[string[], number, RegExp]>([
    [["docker-archive:nowhere.tar"], 3, /there is no file nowhere.tar\n/],
    [["oci:v2"], 3, /there is no folder v2\n.*\n.*docker-daemon:oci:v2/],
    [["docker-archive:half.tar.gz"], 3, /half.tar.gz is not .*: the whole file is compressed with gzip, and damaged/],
    [
      ["docker-archive:app.tar.xz"],
      3,
      /the whole file is compressed with xz.*\n.*\n.*xz -dc app.tar.xz \| docker-over-ssh push docker-archive:-/,
    ],
    [["docker-archive:/dev/null"], 3, /\/dev\/null is not .*: it is neither a file, a folder nor a pipe/],
    [["docker-archive:half.tar"], 3, /half.tar is not .*: the archive ends in the middle of/],
    [["docker-archive:notes.txt"], 3, /notes.txt is not .*: it is not a tar archive/],
    [["oci:other"], 3, /other is not a folder that is an OCI layout/],
    [["oci:layout:v7"], 3, /layout: it holds no image v7, but "v1"/],
    [
      ["--platform", "linux/s390x", "oci:many"],
      3,
      /no image for linux\/s390x \(its index names linux\/amd64, linux\/arm64\/v8\)/,
    ],
    [["oci:"], 2, /"oci:" names no folder/],
    [["--registry", "container", "oci:layout"], 2, /--registry is for an engine/],
    [["--host", "tcp://x", "oci:layout"], 2, /--host is for an engine/],
  ])("push %j", async (words, status, message) => {
    const far = listener("receiver");
    const { exitCode, stderr } = await run("push", ...words, ...far);
    expect(stderr).toMatch(message);
    expect(exitCode).toBe(status);
    expect(await received(far)).toBe("");
    // If `true` were started, it would cause another error, because it is not docker-over-ssh.
    expect(await run("push", ...words, "true")).toEqual({ exitCode, stderr });
  });
});

describe.concurrent("an invalid target causes an error before the peer receives a byte:", () => {
  test.each<[string[], RegExp]>([
    [["--to", "layout", "app"], /--to layout does not name a location\n.*\n.*--to oci:layout/],
    [["--to", "oci:other", "app"], /other is a folder with other files, not an OCI layout/],
    [["--to", "oci:app.tar", "app"], /app.tar is a file/],
    [["--to", "docker-archive:layout", "app"], /layout is a folder\n.*\n.*--to oci:layout/],
    [["--to", "docker-archive:no/where.tar", "app"], /there is no folder no\n/],
    [["--to", "docker-archive:new.tar:App", "app"], /"App" must be in lower case/],
    [["--to", "oci:new:a b", "app"], /it is not a valid name in a layout/],
    [["--to", "oci:new", `app@sha256:${"ab".repeat(32)}`], /it has a digest and no tag/],
    [["--to", "oci:new", "--via", "load", "app"], /--via is for an engine/],
    [["--to", "oci:new", "--host", "tcp://x", "app"], /--host is for an engine/],
    [["oci:layout"], /oci:layout is a location, but pull needs the name of an image/],
  ])("pull %j", async (words, message) => {
    const far = listener("sender");
    const { exitCode, stderr } = await run("pull", ...words, ...far);
    expect(stderr).toMatch(message);
    expect(exitCode).toBe(2);
    expect(await received(far)).toBe("");
    expect(await run("pull", ...words, "true")).toEqual({ exitCode, stderr });
  });
});

describe("the image that is chosen from several", () => {
  const transfer = async (source: string, name: string, ...options: string[]) =>
    await run("push", source, ...program, "pull", ...options, "--to", `oci:from-${source.replace(/\W/g, "")}`, name);

  test("is the one with the receiver's name, if the source location contains no name", async () => {
    expect((await transfer("oci:two", "app:v2")).exitCode).toBe(0);
    expect(await look("oci", at("from-ocitwo"), "app:v2")).toEqual(whole(other));
  });

  test("does not exist if none has the receiver's name: the error lists the names", async () => {
    const { exitCode, stderr } = await transfer("oci:two", "app:v3");
    expect(stderr).toMatch(/two: it holds no image .*app:v3, but "app:v1", "app:v2"\n.*\n.*oci:two:NAME/);
    expect(exitCode).toBe(3);
  });

  test("is for the platform that either side names; without one, the error lists the platforms", async () => {
    const { exitCode, stderr } = await transfer("oci:many", "app:v1");
    expect(stderr).toMatch(
      /many: it holds an image for linux\/amd64, linux\/arm64\/v8: choose a platform\n.*\n.*--platform/,
    );
    expect(exitCode).toBe(3);
    expect((await transfer("oci:many", "app:v1", "--platform", "linux/arm64")).exitCode).toBe(0);
    expect(await look("oci", at("from-ocimany"), "app:v1")).toEqual(whole(arm));
  });
});

describe("does not send content that differs from its digest, and does not change the target", () => {
  const one = ociBlobs(image, gzipped);
  const [, top = Buffer.alloc(0)] = image.layers;
  const layer = one.descriptors[1]?.digest ?? "";
  const lies = Buffer.from("a layer of other bytes, and the same digest in its name");
  const relabelled = ociBlobs({ ...image, layers: [image.layers[0] ?? top, other.layers[0] ?? top] }, gzipped);

  test.each<[string, () => Promise<void>, string, RegExp]>([
    [
      "a blob differs from its digest",
      async () => {
        const entries = layoutOf([{ image, ref: "v1" }]).map((entry) =>
          entry.name.endsWith(hexOf(layer)) ? { ...entry, content: Buffer.alloc(entry.content?.length ?? 0) } : entry,
        );
        await writeTree(at("lies-1"), entries);
      },
      "oci:lies-1",
      // The message comes from the side that reaches the end of the blob first.
      /(?:in lies-1 is damaged|a layer failed verification): .*(?:has the digest|cannot be decompressed)/,
    ],
    [
      "a blob has its digest, but its uncompressed layer is not the one that the config lists",
      async () => {
        const blobs = layoutOf([{ image: other, ref: "v1" }]);
        await writeTree(at("lies-2"), blobs);
        for (const blob of relabelled.blobs) await writeFile(at(`lies-2/blobs/sha256/${hexOf(digestOf(blob))}`), blob);
        const index = { schemaVersion: 2, manifests: [relabelled.manifest.descriptor] };
        await writeFile(at("lies-2/index.json"), JSON.stringify(index));
      },
      "oci:lies-2",
      /(?:in lies-2 is damaged|a layer failed verification): the uncompressed layer .* has the digest/,
    ],
    [
      "a plain layer is not the one that the config lists",
      async () => {
        const entries = await savePodman(image);
        const name = `${hexOf(image.diffIds[1] ?? "")}.tar`;
        await writeTar(
          at("lies-3.tar"),
          entries.map((entry) => (entry.name === name ? { ...entry, content: Buffer.alloc(top.length) } : entry)),
        );
      },
      "docker-archive:lies-3.tar",
      /in lies-3.tar is damaged: .* has the digest/,
    ],
    [
      "the config differs from the digest in its name",
      async () => {
        const entries = saveOci(image, gzipped).filter(({ name }) => name !== "index.json");
        const config = hexOf(digestOf(image.config));
        await writeTar(
          at("lies-4.tar"),
          entries.map((entry) => (entry.name.endsWith(config) ? { ...entry, content: lies } : entry)),
        );
      },
      "docker-archive:lies-4.tar",
      /in lies-4.tar is damaged: the config .* has the digest/,
    ],
  ])("%s", async (_, prepare, source, message) => {
    await prepare();
    await writeTree(at("target"), layoutOf([{ image: other, ref: "app:v1" }]));
    const before = await readTree(at("target"));
    const { exitCode, stderr } = await run("push", source, ...program, "pull", "--to", "oci:target", "app:v1");
    expect(stderr).toMatch(message);
    expect(exitCode).toBe(12);
    const file = source.startsWith("oci") ? "docker-archive:app.tar" : "oci-archive:app.tar";
    expect((await run("push", source, ...program, "pull", "--to", file, "app:v1")).exitCode).toBe(12);
    expect(await readTree(at("target"))).toEqual(before);
    expect((await readFile(at("app.tar"))).equals(tar)).toBe(true);
    expect((await readdir(folder)).filter((name) => name.endsWith(".part"))).toEqual([]);
  });

  test("an invalid index.json causes an error, and stays unchanged", async () => {
    await writeTree(at("broken"), layoutOf([{ image }]));
    await writeFile(at("broken/index.json"), "[]");
    const { exitCode, stderr } = await run("push", "oci:layout", ...program, "pull", "--to", "oci:broken", "app:v1");
    expect(stderr).toContain("broken is invalid");
    expect(exitCode).toBe(12);
    expect(await readFile(at("broken/index.json"), "utf8")).toBe("[]");
  });

  test("a tar without an image is replaced, as with docker save -o", async () => {
    await writeFile(at("replaced.tar"), await makeTar([{ name: "x", content: "y" }]));
    const line = ["push", "oci:layout", ...program, "pull", "--to", "docker-archive:replaced.tar", "app:v1"];
    expect((await run(...line)).exitCode).toBe(0);
    expect(await look("docker-archive", at("replaced.tar"))).toEqual(whole(image));
  });
});
