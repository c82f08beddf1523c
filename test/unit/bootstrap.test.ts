import { createHash } from "node:crypto";
import { once } from "node:events";
import { chmod, lstat, mkdir, mkdtemp, readdir, readFile, rm, symlink, utimes, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { brotliCompressSync } from "node:zlib";
import { execa } from "execa";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { readBundle } from "../../src/remote/script/bundle.ts";

/** A command in place of docker-over-ssh, which prints its arguments and the rest of stdin. */
const COMMAND = Buffer.from(
  `(function (exports, require) { exports.main = async (argv) => { console.log(...argv.slice(2)); console.log(require("fs").readFileSync(0, "utf8")); return true; } })`,
);
const DIGEST = createHash("sha256").update(COMMAND).digest("hex");
const PACKED = brotliCompressSync(COMMAND);
const EVALUATE = "eval(require('zlib').brotliDecompressSync(Buffer.from(process.argv[1],'base64'))+'')";

let home: string;
beforeEach(async () => void (home = await mkdtemp(join(tmpdir(), "bootstrap-"))));
afterEach(async () => {
  await chmod(home, 0o700);
  await rm(home, { recursive: true });
});

const cache = (): string => join(home, ".cache/docker-over-ssh");
const kept = (): string => join(cache(), `bundle-${DIGEST}.cjs`);

interface BootOptions {
  /** The bytes that the initiator sends. Default: the bundle, if the bootstrap requests it. */
  input?: Buffer;
  digest?: string;
  size?: number;
  env?: Record<string, string>;
  program?: "node" | "container";
  nodeOptions?: string[];
}

/** Runs the bootstrap as the remote script does. Returns the marker lines and the output of the command. */
async function boot({
  input,
  digest = DIGEST,
  size = PACKED.length,
  env = {},
  nodeOptions = [],
  program = "node",
}: BootOptions = {}) {
  const { bootstrap } = readBundle();
  const args = [
    ...nodeOptions,
    "-e",
    EVALUATE,
    "--",
    bootstrap,
    `${digest}:${size}`,
    program,
    "pull",
    "--timeout",
    "5",
  ];
  const bytes = input ?? Buffer.concat([PACKED, Buffer.from("tunnel")]);
  const run = await execa(process.execPath, args, { input: bytes, reject: false, env: { HOME: home, ...env } });
  const lines = run.stdout.split("\n").map((line) => line.replace("#docker-over-ssh#remote# ", "# "));
  return { lines, exitCode: run.exitCode };
}

/** Boots a second time, without sending the bundle. */
const bootAgain = async (options: BootOptions = {}) => await boot({ input: Buffer.from("tunnel"), ...options });

const RAN = ["pull --timeout 5", "tunnel"];
const SENT = { lines: ["# send", "# run sent", ...RAN], exitCode: 0 };
const KEPT = { lines: ["# run kept", ...RAN], exitCode: 0 };

describe("the bundle", () => {
  test("is sent once, is cached for this user alone, and leaves the rest of stdin to the command", async () => {
    expect(await boot()).toEqual(SENT);
    expect((await lstat(cache())).mode & 0o777).toBe(0o700);
    expect((await lstat(kept())).mode & 0o777).toBe(0o600);
    expect(await readFile(kept())).toEqual(COMMAND);
    expect(await bootAgain()).toEqual(KEPT);
  });

  test.each<[string, Buffer]>([
    ["with other bytes", Buffer.from(PACKED.map((byte, index) => (index === 20 ? byte ^ 1 : byte)))],
    [
      "with another content",
      brotliCompressSync(Buffer.from("(function (exports) { exports.main = () => console.log('bad') })")),
    ],
  ])("%s is neither run nor cached", async (_, packed) => {
    expect(await boot({ input: packed, size: packed.length })).toEqual({
      lines: ["# send", "# pass node the bundle that arrived is damaged"],
      exitCode: 96,
    });
    expect(await readdir(cache())).toEqual([]);
  });

  test("that is truncated ends the bootstrap, and no other program is tried", async () => {
    expect(await boot({ input: PACKED.subarray(0, -1) })).toEqual({ lines: ["# send"], exitCode: 1 });
  });

  test.each<[string, () => Promise<unknown>]>([
    ["changed", async () => await writeFile(kept(), "(function () {})")],
    ["readable by others", async () => await chmod(kept(), 0o644)],
    [
      "a link",
      async () => {
        await writeFile(join(home, "elsewhere"), COMMAND, { mode: 0o600 });
        await rm(kept());
        await symlink(join(home, "elsewhere"), kept());
      },
    ],
  ])("in the cache that is %s is sent again and replaced", async (_, spoil) => {
    await boot();
    await spoil();
    expect(await boot()).toEqual(SENT);
    expect((await lstat(kept())).isFile()).toBe(true);
    expect(await bootAgain()).toEqual(KEPT);
  });

  test.each<[string, () => Promise<unknown>]>([
    ["others may write to", async () => (await mkdir(cache(), { recursive: true }), await chmod(cache(), 0o777))],
    ["is a link", async () => (await mkdir(join(home, ".cache")), await symlink(tmpdir(), cache()))],
    ["cannot be created", async () => await writeFile(join(home, ".cache"), "")],
  ])("is run from memory if the cache folder %s", async (_, spoil) => {
    await spoil();
    expect(await boot()).toEqual(SENT);
    expect(await boot()).toEqual(SENT);
  });

  test("of older versions: three stay in the cache, and partial files stay for an hour", async () => {
    await mkdir(cache(), { recursive: true, mode: 0o700 });
    const at = async (name: string, minutesAgo: number) => {
      await writeFile(join(cache(), name), "x", { mode: 0o600 });
      const time = Date.now() / 1000 - minutesAgo * 60;
      await utimes(join(cache(), name), time, time);
    };
    for (const [name, minutes] of [
      ["bundle-a.cjs", 1],
      ["bundle-b.cjs", 2],
      ["bundle-c.cjs", 3],
    ] as const)
      await at(name, minutes);
    await at("bundle-d.cjs.123", 61);
    await at("bundle-e.cjs.124", 59);
    await at("other", 1000);
    expect(await boot()).toEqual(SENT);
    expect((await readdir(cache())).toSorted()).toEqual(
      ["bundle-a.cjs", "bundle-b.cjs", "bundle-e.cjs.124", `bundle-${DIGEST}.cjs`, "code", "other"].toSorted(),
    );
  });
});

// The real versions (10, 12, 18) are not available, so this Node pretends to have their numbers. The code is compiled for Node 10.
test.each(["10.24.1", "18.20.4", "20.18.3"])("Node %s reports that it is too old", async (version) => {
  const file = join(home, "version.cjs");
  await writeFile(file, `Object.defineProperty(process.versions, "node", { value: "${version}" });`);
  expect(await boot({ nodeOptions: ["--require", file] })).toEqual({
    lines: [`# pass node Node ${version} is too old`],
    exitCode: 96,
  });
});

describe("in a container", () => {
  const engine = (): { program: "container"; env: Record<string, string> } => ({
    program: "container",
    env: { DOCKER_HOST: `unix://${join(home, "engine.sock")}` },
  });

  test("the command runs if it can use the engine's socket", async () => {
    const server = createServer().listen(join(home, "engine.sock"));
    await once(server, "listening");
    expect(await boot(engine())).toEqual(SENT);
    server.close();
  });

  test("the bootstrap reports a reason to pass, and requests no bundle, if the socket cannot be used", async () => {
    await writeFile(join(home, "engine.sock"), "");
    expect(await boot(engine())).toEqual({
      lines: ["# pass container ECONNREFUSED at the engine's socket"],
      exitCode: 96,
    });
  });
});
