/** --all-platforms, and several --platform, between layouts and archives. */
import { chmod, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { execa } from "execa";
import { describe, expect, test } from "vitest";
import { attestedLayout } from "../../engines/layouts.ts";
import { readTar } from "../../matrix/saved-image.ts";
import { wholeIndex, type WholeIndex } from "../../whole-index.ts";
import { digestOf, hexOf } from "../../../src/image/digest.ts";
import { makeImage } from "../image/make-image.ts";
import { folder, program, run, settings, start } from "./cli.ts";
import { layoutOf, readTree, writeTar, writeTree } from "./images.ts";

const at = (name: string): string => join(folder, name);
const [AMD, ARM, S390] = ["linux/amd64", "linux/arm64", "linux/s390x"] as const;
const ATTESTED = "unknown/unknown";

/** Three platforms that share a layer of 200 kB. The sizes of their other layers distinguish them. */
const variants = {
  [AMD]: await makeImage([200_000, 300], { architecture: "amd64" }),
  [ARM]: await makeImage([200_000, 400], { architecture: "arm64" }),
  [S390]: await makeImage([200_000, 500], { architecture: "s390x" }),
};
await writeTree(at("source"), attestedLayout(variants, "app:v1"));
await writeTar(at("source.tar"), attestedLayout(variants, "app:v1"));
/** As after `docker pull`: only one platform is present. */
await writeTree(at("pulled"), attestedLayout(variants, "app:v1", [ARM, S390]));
await writeTree(at("single"), layoutOf([{ image: variants[AMD], ref: "app:v1" }]));

const inLayout = async (name: string, image = "app:v1"): Promise<WholeIndex> =>
  wholeIndex(await readTree(at(name)), image);
const inTar = async (name: string): Promise<WholeIndex> =>
  wholeIndex(await readTar(await readFile(at(name))), "app:v1");
const { root } = await inLayout("source");
const whole = { root, platforms: [AMD, ARM, S390, ATTESTED, ATTESTED, ATTESTED], faults: [] };

/** Pulls from the location `from` into `to`. `there`: options of the sending side. */
async function pull(
  from: string,
  to: string,
  options: string[] = [],
  { there = [] as string[], name = "app:v1" } = {},
) {
  return await run("pull", ...options, "--to", to, name, ...program, "push", ...there, from);
}

const all = ["--all-platforms"];

describe("--all-platforms", () => {
  test.each([
    ["a layout", "oci:source", "oci:a"],
    ["an archive", "oci-archive:source.tar", "oci:b"],
  ])(
    "from %s to a layout, and on to an archive: the index keeps its digest, with all that it names",
    async (_, from, to) => {
      const name = to.slice("oci:".length);
      expect(await pull(from, to, all)).toMatchObject({ exitCode: 0 });
      expect(await inLayout(name)).toEqual(whole);
      expect(await pull(to, `oci-archive:${name}.tar`, [], { there: all })).toMatchObject({ exitCode: 0 });
      expect(await inTar(`${name}.tar`)).toEqual(whole);
    },
  );

  test("to a pipe", async () => {
    const words = ["pull", ...all, "--to", "oci-archive:-", "app:v1", ...program, "push", "oci:source"];
    const piped = ["sh", "-c", `"$@" | cat > piped.tar`, "sh", ...program, ...words];
    const [file = "", ...rest] = piped;
    expect(await execa(file, rest, { ...settings, stdin: "ignore" })).toMatchObject({ exitCode: 0 });
    expect(await inTar("piped.tar")).toEqual(whole);
  });

  test("layers that platforms share are sent once, and present content is not sent again", async () => {
    const first = await pull("oci:source", "oci:again", all);
    // 4 different layers, 3 configs; config and statement of 3 attestations
    expect(first.stderr).toContain("for 13 layers, 0 layers");
    const second = await pull("oci:source", "oci:again", [...all, "--as", "other:v2"]);
    expect(second.stderr).toMatch(/^pulled app:v1 as other:v2: .* for 0 layers, 13 layers/m);
    expect(await inLayout("again", "other:v2")).toEqual(whole);
  });

  test("a damaged blob of any platform is sent again", async () => {
    expect(await pull("oci:source", "oci:damaged", all)).toMatchObject({ exitCode: 0 });
    const files = await readTree(at("damaged"));
    const [path = "", bytes] =
      [...files].find(([, content]) => content.includes("s390x") && content.includes("rootfs")) ?? [];
    await rm(at(`damaged/${path}`));
    await writeFile(at(`damaged/${path}`), Buffer.alloc(bytes?.length ?? 0));
    expect((await pull("oci:source", "oci:damaged", all)).stderr).toContain("for 1 layer, 12 layers");
    expect(await inLayout("damaged")).toEqual(whole);
  });

  test("of an image without an index: its manifest arrives byte for byte", async () => {
    expect(await pull("oci:single", "oci:one", all)).toMatchObject({ exitCode: 0 });
    const { root: found, faults } = await inLayout("one");
    expect({ root: found, faults }).toEqual({ root: (await inLayout("single", "app:v1")).root, faults: [] });
  });

  test("a dry run prints the platforms, and sends nothing", async () => {
    const { exitCode, stderr } = await pull("oci:source", "oci:dry", [...all, "--dry-run"]);
    expect({ exitCode, stderr }).toMatchObject({ exitCode: 0 });
    expect(stderr).toContain(`${AMD}, ${ARM}, ${S390}`);
    expect(await stat(at("dry")).catch(() => undefined)).toBeUndefined();
  });

  test("of an index with missing content causes an error that names the missing platforms and says what to do", async () => {
    const { exitCode, stderr } = await pull("oci:pulled", "oci:incomplete", all);
    expect(exitCode).toBe(3);
    expect(stderr).toContain(`names ${ARM}, ${S390} without the content`);
    expect(stderr).toContain(`--platform ${AMD}`);
    expect(await stat(at("incomplete")).catch(() => undefined)).toBeUndefined();
  });
});

describe("several --platform", () => {
  const two = ["--platform", AMD, "--platform", S390];

  test("are sent with the same index, and the other platforms are absent from the target", async () => {
    expect(await pull("oci:source", "oci:two", [], { there: two })).toMatchObject({ exitCode: 0 });
    expect(await inLayout("two")).toEqual({ ...whole, platforms: [AMD, S390, ATTESTED, ATTESTED] });
    const rest = await pull("oci:source", "oci:two", all);
    expect(rest.stderr).toContain("for 4 layers, 9 layers");
    expect(await inLayout("two")).toEqual(whole);
  });

  test("(a single one is sent without the index)", async () => {
    expect(await pull("oci:source", "oci:alone", ["--platform", S390])).toMatchObject({ exitCode: 0 });
    expect((await inLayout("alone")).root).not.toBe(root);
  });

  test.each([
    ["is not in the index", "oci:source", "linux/riscv64", `does not name linux/riscv64`],
    ["has no content", "oci:pulled", ARM, `names ${ARM} without the content`],
    ["is requested from an image without an index", "oci:single", ARM, "has one platform, and no index"],
  ])("one that %s causes an error", async (what, from, platform, words) => {
    const { exitCode, stderr } = await pull(from, `oci:${what.replaceAll(" ", "-")}`, [
      "--platform",
      AMD,
      "--platform",
      platform,
    ]);
    expect(stderr).toContain(words);
    expect(exitCode).toBe(3);
  });

  test.each([
    [
      "different platforms on both sides",
      ["--platform", AMD, "--platform", ARM],
      two,
      "the receiving side --platform linux/amd64",
    ],
    ["all platforms on one side", all, two, "the receiving side --all-platforms"],
    ["a single platform on one side", ["--platform", AMD], two, "the receiving side --platform linux/amd64"],
  ])("%s cause an error", async (what, here, there, words) => {
    const { exitCode, stderr } = await pull("oci:source", `oci:${what.replaceAll(" ", "-")}`, here, { there });
    expect(stderr).toContain(words);
    expect(exitCode).toBe(2);
  });
});

describe("rejects before anything is sent", () => {
  test("a docker archive at the receiver, and says what to do", async () => {
    const { exitCode, stderr } = await pull("oci:source", "docker-archive:x.tar", [], { there: all });
    expect(stderr).toContain("stores one platform of an image");
    expect(stderr).toContain("oci-archive:FILE");
    expect(exitCode).toBe(13);
    expect(await stat(at("x.tar")).catch(() => undefined)).toBeUndefined();
  });

  test("--max-size at the receiver, which cannot be enforced", async () => {
    const { exitCode, stderr } = await pull("oci:source", "oci:limited", ["--max-size", "1g"], { there: all });
    expect(stderr).toContain("--max-size cannot be enforced");
    expect(stderr).toContain(
      "Omit --max-size on the receiving side, or --all-platforms and all but one --platform on the sending side.",
    );
    expect(exitCode).toBe(13);
  });

  test.each([
    [["--all-platforms", "--platform", AMD], "--all-platforms and --platform are both given"],
    [["--all-platforms", "--via", "pull"], "--via pull accepts one platform"],
    [["--all-platforms", "--max-size", "1g"], "--max-size counts layers"],
    [["--platform", AMD, "--platform", ARM, "--to", "docker-archive:x.tar"], "is a docker archive"],
  ])("%j", async (options, words) => {
    const { exitCode, stderr } = await run("pull", ...options, "app:v1", "false");
    expect(stderr).toContain(words);
    expect(exitCode).toBe(2);
  });
});

test("a run that is killed before the last blob has arrived gives nothing the name; the next run continues and completes the image", async () => {
  const words = ["pull", ...all, "--bwlimit", "50kb", "--to", "oci:killed", "app:v1", ...program, "push", "oci:source"];
  const killed = start(...words);
  killed.stderr.on("data", (chunk: Buffer) => chunk.includes("sending") && killed.kill("SIGKILL"));
  await killed;
  expect((await readTree(at("killed")).catch(() => new Map())).has("index.json")).toBe(false);
  expect(await pull("oci:source", "oci:killed", all)).toMatchObject({ exitCode: 0 });
  expect(await inLayout("killed")).toEqual(whole);
  expect((await readdir(at("killed"), { recursive: true })).filter((file) => /part|lock/.test(file))).toEqual([]);
});

test("sends several images to several hosts, each with its index", async () => {
  await writeTree(at("source2"), attestedLayout({ [AMD]: variants[AMD], [ARM]: variants[ARM] }, "app:v2"));
  const [ssh, sources] = [at("ssh"), ["oci:source:app:v1", "oci:source2:app:v2"]];
  const words = program.map((word) => `'${word}'`).join(" ");
  await writeFile(
    ssh,
    `#!/bin/sh
while [ "$1" != -- ]; do shift; done
echo "#docker-over-ssh#remote# try installed /usr/bin/docker-over-ssh"
exec ${words} pull --to "oci:${folder}/$2" app:v1 app:v2 --
`,
  );
  await chmod(ssh, 0o755);
  const { exitCode, stderr } = await run("push", ...all, "--ssh", ssh, ...sources, "ssh://one", "ssh://two");
  expect({ exitCode, stderr }).toMatchObject({ exitCode: 0 });
  const { root: second } = await inLayout("source2", "app:v2");
  for (const name of ["one", "two"]) {
    expect(await inLayout(name)).toEqual(whole);
    expect(await inLayout(name, "app:v2")).toEqual({
      root: second,
      platforms: [AMD, ARM, ATTESTED, ATTESTED],
      faults: [],
    });
  }
});

test("does not report an index that is too large as damaged", async () => {
  const files = attestedLayout(variants, "app:v1");
  await writeTree(at("large"), files);
  const tree = await readTree(at("large"));
  const index = JSON.parse(tree.get("index.json")?.toString() ?? "") as {
    manifests: { digest: string; size: number }[];
  };
  const [entry = { digest: "", size: 0 }] = index.manifests;
  const bytes = tree.get(`blobs/sha256/${hexOf(entry.digest)}`) ?? Buffer.alloc(0);
  const padded = Buffer.concat([bytes, Buffer.alloc(500_000, " ")]);
  Object.assign(entry, { digest: digestOf(padded), size: padded.length });
  await writeFile(at("large/index.json"), JSON.stringify(index));
  await writeFile(at(`large/blobs/sha256/${hexOf(entry.digest)}`), padded);
  const { exitCode, stderr } = await pull("oci:large", "oci:not-large", all);
  expect(stderr).toContain("app:v1 cannot be sent with its index: its index and manifests have");
  expect(stderr).not.toContain("damaged");
  expect(exitCode).toBe(12);
});

test("does not accept a blob that differs at the sender", async () => {
  const files = attestedLayout(variants, "app:v1");
  await writeTree(at("wrong"), files);
  const layer = [...(await readTree(at("wrong")))].find(([, bytes]) => bytes.length > 100_000);
  await writeFile(at(`wrong/${layer?.[0]}`), Buffer.alloc(layer?.[1].length ?? 0, 1));
  const { exitCode, stderr } = await pull("oci:wrong", "oci:not-taken", all);
  expect(stderr).toContain(hexOf(`sha256:${layer?.[0].split("/").at(-1)}`));
  expect(exitCode).toBe(12);
  expect((await readTree(at("not-taken")).catch(() => new Map())).has("index.json")).toBe(false);
});
