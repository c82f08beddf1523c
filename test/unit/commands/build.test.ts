import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { PLAIN_ORDER } from "../../fixtures/build-order.ts";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { parseCommandLine } from "../../../src/cli.ts";
import { printsId } from "../../../src/commands/build.ts";
import { idOf } from "../../../src/commands/run-build.ts";
import type { TransferResult } from "../../../src/output/events.ts";
import { outputTo } from "../../../src/output/output.ts";
import { digestOf } from "../../../src/image/digest.ts";
import { isBuild, type BuildRequest } from "../../../src/request.ts";
import { AMD64 } from "../image/platforms.ts";

const root = mkdtempSync(join(tmpdir(), "docker-over-ssh-build-"));
mkdirSync(join(root, "app/docker"), { recursive: true });
for (const path of ["app/Dockerfile", "app/docker/Dockerfile", "Dockerfile", "app/..dev"])
  writeFileSync(join(root, path), "");
symlinkSync("app", join(root, "link"));
symlinkSync("../Dockerfile", join(root, "app/leads-out"));

beforeEach(() => void vi.spyOn(process, "cwd").mockReturnValue(root));
afterEach(() => vi.restoreAllMocks());
afterAll(() => rmSync(root, { recursive: true }));

async function jobOf(words: string, env: NodeJS.ProcessEnv = {}) {
  let printed = "";
  const print = (text: string): void => void (printed += text);
  const argv = ["node", "docker-over-ssh", "build", ...words.split(" ").filter((word) => word !== "")];
  const parsed = await parseCommandLine(argv, env, { out: print, err: print });
  if ("job" in parsed) return parsed.job;
  throw new Error(`status ${parsed.exitStatus}: ${printed}`);
}

/** Returns the request that a command line creates. */
async function request(words: string, env: NodeJS.ProcessEnv = {}): Promise<BuildRequest> {
  const transfer = (await jobOf(words, env)).batch?.remotes[0].transfers[0];
  if (transfer === undefined || !isBuild(transfer)) expect.fail("no build");
  return transfer;
}

const { contextKey: _, ...order } = PLAIN_ORDER;
const folder = (path: string): object => ({ kind: "folder", path, gitignore: true });
const engine = { kind: "docker-daemon", via: "load" };
const IMAGE = { kind: "image", push: false, isBroughtBack: false };

describe("build", () => {
  test.each<[string, object]>([
    ["app ssh://prod", { order, files: folder("app"), goal: IMAGE, secrets: [], agents: [] }],
    ["- ssh://prod", { order, files: { kind: "stdin" } }],
    ["--no-gitignore app ssh://prod", { files: { kind: "folder", path: "app", gitignore: false } }],
    ["-t app:v2 -t reg.example/app app ssh://prod", { order: { ...order, names: ["app:v2", "reg.example/app"] } }],
    ["--target one app ssh://prod", { order: { target: "one" } }],
    ["--label a=b=c --label d app ssh://prod", { order: { labels: { a: "b=c", d: "" } } }],
    ["--platform linux/amd64 app ssh://prod", { order: { platform: AMD64 } }],
    ["--no-cache --pull app ssh://prod", { order: { noCache: true, pull: true } }],
    ["--cache-from a --cache-from b app ssh://prod", { order: { cacheFrom: ["a", "b"] } }],
    ["--network none app ssh://prod", { order: { network: "none" } }],
    [
      "--secret id=x,src=f --secret id=y,env=Y app ssh://prod",
      {
        order: { secrets: ["x", "y"] },
        secrets: [
          { id: "x", source: { kind: "file", path: "f" } },
          { id: "y", source: { kind: "env", name: "Y" } },
        ],
      },
    ],
    [
      "--ssh default --ssh other=/run/agent app ssh://prod",
      { order: { agents: ["default", "other"] }, agents: [{ id: "default" }, { id: "other", socket: "/run/agent" }] },
    ],
    ["--push -t a app ssh://prod", { goal: { ...IMAGE, push: true } }],
    ["--load -t a app ssh://prod", { goal: { ...IMAGE, isBroughtBack: true } }],
    ["--to oci:out -t a app ssh://prod", { goal: { ...IMAGE, isBroughtBack: true } }],
    ["app ssh://prod", { goal: { kind: "image" } }],
    ["--check -t a app ssh://prod", { goal: { kind: "check" } }],
  ])("%s", async (words, build) => {
    expect((await request(words)).build).toMatchObject(build);
  });

  test.each([
    ["-f app/docker/Dockerfile app", "docker/Dockerfile"],
    ["-f docker/Dockerfile app", "docker/Dockerfile"],
    [`-f ${root}/app/docker/Dockerfile link`, "docker/Dockerfile"],
    ["-f link/docker/Dockerfile app", "docker/Dockerfile"],
    ["-f app/..dev app", "..dev"],
    ["-f Dockerfile app", "Dockerfile"],
    ["-f any/path -", "any/path"],
    ["-f any/path https://example.com/app.git", "any/path"],
    ["-f ./any//path -", "any/path"],
    ["-f ./any/path https://example.com/app.git", "any/path"],
  ])("%s: the Dockerfile is %s in the context", async (words, dockerfile) => {
    // As with docker, the file in the current folder is used if two exist, unless it is outside of the context.
    const build = request(`${words} ssh://prod`);
    if (words === "-f Dockerfile app") await expect(build).rejects.toMatchObject({ code: "not-buildable" });
    else expect((await build).build.order.dockerfile).toBe(dockerfile);
  });

  test.each([
    "https://example.com/app.git#main:sub",
    "http://example.com/app.git",
    "git://example.com/app.git",
    "git@example.com:team/app.git",
    "github.com/team/app",
  ])("the remote side clones %s", async (address) => {
    const { build } = await request(`${address} ssh://prod`);
    expect(build).toMatchObject({ order: { git: address }, files: undefined });
  });

  test("build arguments have the given value, that of the environment, or the default of the Dockerfile", async () => {
    const words = "--build-arg A=1 --build-arg B --build-arg C --build-arg D= app ssh://prod";
    expect((await request(words, { B: "2" })).build.order.buildArgs).toEqual({ A: "1", B: "2", D: "" });
  });

  test("the key of a context is the repository of the first name, or else its folder", async () => {
    const key = async (words: string): Promise<string> => (await request(`${words} ssh://prod`)).build.order.contextKey;
    const named = await key("-t app:v1 app");
    expect(await key("-t docker.io/library/app:v2 -t other link")).toBe(named);
    expect(await key("-t other app")).not.toBe(named);
    expect(await key("app")).toBe(digestOf(JSON.stringify([hostname(), join(root, "app")])));
    expect(await key("link")).toBe(await key("app"));
    expect(await key(".")).not.toBe(await key("app"));
  });

  test("a context has a place, because BuildKit, which compares only sizes and times, must not confuse two checkouts of one project", async () => {
    const place = async (words: string): Promise<string | undefined> =>
      (await request(`${words} ssh://prod`)).build.order.contextPlace;
    const named = await place("-t app:v1 app");
    expect(await place("-t app:v2 link")).toBe(named);
    expect(await place("-t app:v1 .")).not.toBe(named);
    expect(await place("-t other app")).not.toBe(named);
  });

  test("returns the image under all names, into an engine or a file", async () => {
    const { name, further, target, isRenamed } = await request("--load -t a:1 -t b:2 -H tcp://x:1 app ssh://prod");
    expect({ name, further, target, isRenamed }).toMatchObject({
      name: { given: "a:1" },
      further: { names: [{ given: "b:2" }], tags: [] },
      target: { ...engine, endpoint: { host: "tcp://x:1" } },
      isRenamed: false,
    });
    expect((await request("--to docker-archive:out.tar -t a app ssh://prod")).target).toMatchObject({
      kind: "docker-archive",
      path: "out.tar",
    });
  });

  test("the remote side is a host, with the options of a push, or any command", async () => {
    const host = await request("--sudo --far node --timeout 5 --bwlimit 1m --delta never app ssh://me@prod:22");
    expect(host).toMatchObject({ role: "receiver", timeout: 5000, bwlimit: 1_048_576, delta: "never" });
    expect(host.connection).toMatchObject({ kind: "host", given: "ssh://me@prod:22", sudo: true, programs: ["node"] });
    const command = { kind: "command", words: ["ssh", "prod", "--", "x", "-t"] };
    expect((await request("app ssh prod -- x -t")).connection).toEqual(command);
    expect((await request("app -- ssh prod -- x -t")).connection).toEqual(command);
    expect((await request("--rsh ssh2 app ssh://prod")).connection).toMatchObject({ ssh: ["ssh2"] });
  });

  test("--progress", async () => {
    expect((await jobOf("app ssh://prod")).buildProgress).toBe("auto");
    for (const mode of ["auto", "plain", "tty"])
      expect((await jobOf(`--progress ${mode} app ssh://prod`)).buildProgress).toBe(mode);
  });

  test("without words, this process is the remote side", async () => {
    const { batch } = await jobOf("-H tcp://x:1 --timeout 5");
    expect(batch?.remotes[0].transfers[0]).toMatchObject({
      role: "sender",
      timeout: 5000,
      connection: { kind: "spawned" },
    });
  });

  test("at a terminal, a build without words is not a remote side", async () => {
    const job = await jobOf("");
    const { isTTY } = process.stdout;
    process.stdout.isTTY = true;
    try {
      const context = { output: outputTo(() => {}), signal: new AbortController().signal, env: {} };
      await expect(job.run(context)).rejects.toMatchObject({ code: "usage", message: "no CONTEXT is named" });
    } finally {
      process.stdout.isTTY = isTTY;
    }
  });

  test("-q prints the image ID, unless stdout has events or an archive", () => {
    expect(printsId({ quiet: true })).toBe(true);
    expect(printsId({ quiet: true, to: "oci:out" })).toBe(true);
    expect(printsId({})).toBe(false);
    expect(printsId({ quiet: true, json: true })).toBe(false);
    expect(printsId({ quiet: true, to: "docker-archive:-" })).toBe(false);
    expect(printsId({ quiet: true, to: "oci-archive:-:app:v1" })).toBe(false);
  });

  test("the ID of a returned image is that in the local engine", () => {
    const built = { id: "there", pushed: [], size: 0, times: { context: 0, build: 0, push: 0 } };
    expect(idOf({ built })).toBe("there");
    expect(idOf({ built, received: { id: "here" } as TransferResult })).toBe("here");
  });

  test.each([
    ["ssh://prod", "usage", "ssh://prod is given in place of CONTEXT"],
    ["docker://prod", "usage", "docker://prod is given in place of CONTEXT"],
    ["app", "usage", "no host is given to build app"],
    ["--rsh ssh2 app", "usage", "no host is given to build app"],
    ["--rsh ssh2 app ssh prod", "usage", "--rsh is for ssh://HOST"],
    ["app ssh://a ssh://b", "usage", "2 hosts are named"],
    ["app -t x ssh://a", "usage", "-t follows CONTEXT"],
    ["-t app:v1", "usage", "no CONTEXT is named"],
    ["--load", "usage", "no CONTEXT is named"],
    ["--load app ssh://a", "usage", "--load needs a name for the image"],
    ["--push app ssh://a", "usage", "--push needs a name for the image"],
    ["--to oci:x app ssh://a", "usage", "--to needs a name for the image"],
    ["--deploy ssh://b app ssh://a", "usage", "--deploy needs a name for the image"],
    ["-t a --deploy b app ssh://a", "usage", "--deploy b cannot send images from host to host"],
    ["-t a --deploy ssh://b app ssh a", "usage", "--deploy, with a remote command, cannot send images"],
    ["-t a --load --to oci:x app ssh://a", "usage", "--load and --to are both given"],
    ["-t a --to x app ssh://a", "usage", "--to x does not name a location"],
    ["--check --push -t a app ssh://a", "usage", "--check and --push are both given"],
    ["--check --load app ssh://a", "usage", "--check and --load are both given"],
    ["--check --to oci:x app ssh://a", "usage", "--check and --to are both given"],
    ["--check --deploy ssh://b app ssh://a", "usage", "--check and --deploy are both given"],
    ["--check -q app ssh://a", "usage", "--check and --quiet are both given"],
    ["--check --iidfile x app ssh://a", "usage", "--check and --iidfile are both given"],
    ["--check --metadata-file x app ssh://a", "usage", "--check and --metadata-file are both given"],
    ["--check", "usage", "no CONTEXT is named"],
    ["-t A app ssh://a", "usage", "A"],
    ["--secret src=x app ssh://a", "usage", "it has no id"],
    ["--ssh a=b,c app ssh://a", "usage", "--ssh"],
    ["-f - app ssh://a", "usage", "-f - would read the Dockerfile from stdin"],
    ["-f none app ssh://a", "not-buildable", "there is no none"],
    [`-f ${root}/Dockerfile app ssh://a`, "not-buildable", "is outside the context app"],
    ["-f app/leads-out app ssh://a", "not-buildable", "is outside the context app"],
    ["-f ../x - ssh://a", "not-buildable", "../x is not the path of a file in the archive"],
    ["-f /x - ssh://a", "not-buildable", "/x is not the path of a file in the archive"],
    ["-f ./ https://example.com/app.git ssh://a", "not-buildable", "./ is not the path of a file in the repository"],
    ["-f - https://example.com/app.git ssh://a", "usage", "-f - would read the Dockerfile from stdin"],
    ["-f app app ssh://a", "not-buildable", "is outside the context app"],
    [`--build-arg A=${"x".repeat(500_000)} app ssh://a`, "usage", "the options of the build have 500"],
  ])("%s: %s", async (words, code, message) => {
    await expect(request(words)).rejects.toMatchObject({ code, message: expect.stringContaining(message) as string });
  });

  test.each([
    ["--output x app ssh://a", "unknown option '--output'"],
    ["--build-arg =x app ssh://a", "Expected NAME=VALUE."],
    ["--platform linux/amd64,linux/arm64 app ssh://a", "--platform"],
    ["--progress rawjson app ssh://a", "Allowed choices are auto, plain, tty"],
  ])("%s: status 2", async (words, message) => {
    await expect(request(words)).rejects.toThrow(/^status 2: /);
    await expect(request(words)).rejects.toThrow(message);
  });
});
