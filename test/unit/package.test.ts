import { createHash } from "node:crypto";
import { copyFile } from "node:fs/promises";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { brotliDecompressSync } from "node:zlib";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { machineEnvironment } from "../testbed/environment.ts";
import type { Bundle } from "../../src/remote/script/bundle.ts";
import { makeImage } from "./image/make-image.ts";
import { layoutOf, look, whole, writeTree } from "./command-line/images.ts";

const root = join(import.meta.dirname, "../..");
let folder: string;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "dos-package-"));
  await execa({ cwd: root })`npm pack --ignore-scripts --pack-destination ${folder}`;
  await execa({ cwd: folder })`npm init --yes`;
  const env = machineEnvironment(); // npm's cache, proxies and registry
  // This installs without the optional ngrok, which the command must not need.
  const archive = readdirSync(folder).find((name) => name.endsWith(".tgz")) ?? "";
  await execa({ cwd: folder, env })`npm install --prefer-offline --omit=optional --no-audit --no-fund ./${archive}`;
}, 120_000);

afterAll(() => rmSync(folder, { recursive: true }));

describe("the package, installed in an empty folder", () => {
  test("runs", async () => {
    const { stdout } = await execa({ cwd: folder })`node_modules/.bin/docker-over-ssh --version`;
    expect(stdout).toMatch(/^\d+\.\d+\.\d+$/);
    const push = await execa({
      cwd: folder,
      reject: false,
    })`node_modules/.bin/docker-over-ssh push -H unix:///nowhere.sock app true`;
    expect(push.exitCode).toBe(4);
  });

  test("can be imported, and has types", async () => {
    const program =
      'import { push, pull, EXIT_STATUS } from "docker-over-ssh"; console.log(typeof push, typeof pull, EXIT_STATUS.usage)';
    const { stdout } = await execa({ cwd: folder })`node --input-type=module --eval ${program}`;
    expect(stdout).toBe("function function 2");
    expect((await execa({ cwd: folder })`ls node_modules/docker-over-ssh/dist/index.d.ts`).exitCode).toBe(0);
  });

  test("the example compiles against its types, and moves an image", async () => {
    const image = await makeImage([3000, 70_000]);
    await writeTree(join(folder, "source"), layoutOf([{ image, ref: "app:v1" }]));
    await copyFile(join(root, "examples/library/push-image.ts"), join(folder, "push-image.mts"));
    const compiler = ["--strict", "--exactOptionalPropertyTypes", "--target", "es2023", "--module", "nodenext"];
    const types = ["--types", "node", "--typeRoots", join(root, "node_modules/@types")];
    const tsc = join(root, "node_modules/typescript/bin/tsc");
    await execa({ cwd: folder })`node ${tsc} ${compiler} ${types} push-image.mts`;
    const pull = [process.execPath, "node_modules/docker-over-ssh/bin/docker-over-ssh.js", "pull", "--to"];
    const push = async (target: string) =>
      await execa({ cwd: folder, reject: false })`node push-image.mjs oci:source ${pull} ${target} app:v1`;
    const done = await push("oci:target");
    expect(done).toMatchObject({ exitCode: 0, stderr: "" });
    expect(done.stdout).toContain("plan: 2 of 2 layers of docker.io/library/app:v1 are missing\n");
    expect(done.stdout).toMatch(/^done: sha256:\w{64}, 2 layers sent, \d+ bytes in [\d.]+ ms$/m);
    expect(await look("oci", join(folder, "target"), "app:v1")).toEqual(whole(image));
    const failed = await push("oci:package.json");
    expect(failed.exitCode).toBe(2);
    expect(failed.stderr).toMatch(/^usage: package\.json is a file$/m);
  }, 60_000);

  test("contains a small bundle for a remote side, with the announced digest", async () => {
    const dist = join(folder, "node_modules/docker-over-ssh/dist");
    const packed = readFileSync(join(dist, "bundle.br"));
    const bundle = JSON.parse(readFileSync(join(dist, "bundle.json"), "utf8")) as Bundle;
    const content = brotliDecompressSync(packed);
    expect(createHash("sha256").update(content).digest("hex")).toBe(bundle.digest);
    expect(bundle.size).toBe(packed.length);
    // A first transfer waits for the bundle.
    expect(packed.length).toBeLessThanOrEqual(400_000);
    // The bootstrap is a part of the command line of each login.
    expect(bundle.bootstrap).toMatch(/^[A-Za-z0-9+/=]{1000,5000}$/);
  });

  test("contains only the files that it needs", async () => {
    const { stdout } = await execa({ cwd: folder })`ls -A node_modules/docker-over-ssh`;
    expect(stdout.split("\n").toSorted()).toEqual([
      "CHANGELOG.md",
      "LICENSE",
      "README.md",
      "bin",
      "dist",
      "docs",
      "man",
      "package.json",
    ]);
  });
});

describe("the command", () => {
  /** Returns Node's own modules that a run has loaded. The command is one file, so only its imports show which of its modules were evaluated. */
  async function loaded(...words: string[]): Promise<string> {
    const print = 'process.on("exit", () => console.error(process.moduleLoadList.join("\\n")))';
    const options = ["--import", `data:text/javascript,${encodeURIComponent(print)}`];
    const { stderr } = await execa("node", [...options, join(root, "bin/docker-over-ssh.js"), ...words], {
      reject: false,
      stdin: "ignore",
    });
    return stderr;
  }

  test("loads the modules of a transfer only for a transfer", async () => {
    expect(await loaded("push", "-H", "unix:///nowhere.sock", "app:v1")).toMatch(/^NativeModule http2$/m);
    // This makes the start of the command fast. `npm run bench` measures it.
    expect(await loaded("push", "App:v1")).not.toMatch(/^NativeModule (?:http|http2|tls)$/m);
    expect(await loaded("--help")).not.toMatch(/^NativeModule (?:http|http2|tls|crypto)$/m);
  });

  test("includes the licences of all bundled packages", async () => {
    const { stdout } = await execa`cat ${join(root, "dist/LICENCES.txt")}`;
    for (const name of ["commander", "execa", "tar-stream"])
      expect(stdout).toMatch(new RegExp(`^${name} [0-9.]+, MIT$`, "m"));
  });
});
