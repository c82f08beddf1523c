import { describe, expect, test } from "vitest";
import { parseCommandLine, type Job } from "../../src/cli.ts";
import type { TransferRequest } from "../../src/request.ts";
import { VERSION } from "../../src/version.ts";

/** Parses a command line. Returns the output, and the job with the request that it would run. */
async function read(...words: string[]): Promise<{ out: string; err: string; status?: number; job?: Job }> {
  let [out, err] = ["", ""];
  const parsed = await parseCommandLine(
    ["node", "docker-over-ssh", ...words],
    { PATH: process.env["PATH"] },
    {
      out: (text) => (out += text),
      err: (text) => (err += text),
    },
  );
  return "job" in parsed ? { out, err, job: parsed.job } : { out, err, status: parsed.exitStatus };
}

/** Returns the IMAGE argument of a job. */
function namesIn(job: Job | undefined): string | undefined {
  const request = requestIn(job);
  return request?.role === "sender" ? request.source.given : request?.image?.given;
}

function requestIn(job: Job | undefined): TransferRequest | undefined {
  return job?.batch?.remotes[0].transfers[0];
}

describe("everything after IMAGE is the command, including options", () => {
  test.each<[string[], string, string[]]>([
    [["push", "app"], "app", []],
    [["push", "app", "ssh", "prod", "docker-over-ssh pull app"], "app", ["ssh", "prod", "docker-over-ssh pull app"]],
    [["push", "app", "ssh", "-p", "22", "-q", "prod", "x"], "app", ["ssh", "-p", "22", "-q", "prod", "x"]],
    [["push", "-q", "app", "ssh", "--help"], "app", ["ssh", "--help"]],
    [["push", "app", "ssh", "--platform", "x", "--", "y"], "app", ["ssh", "--platform", "x", "--", "y"]],
    [
      ["pull", "--timeout", "5", "app", "docker", "exec", "-i", "c", "docker-over-ssh", "push", "-H", "x", "app"],
      "app",
      ["docker", "exec", "-i", "c", "docker-over-ssh", "push", "-H", "x", "app"],
    ],
    [["push", "app", "--", "ssh", "prod", "--", "x"], "app", ["ssh", "prod", "--", "x"]],
    [["pull", "app", "sh", "-c", "a -b | c"], "app", ["sh", "-c", "a -b | c"]],
  ])("%j", async (words, image, command) => {
    const { job } = await read(...words);
    expect(namesIn(job)).toEqual(image);
    expect(requestIn(job)?.connection).toEqual(
      command.length === 0 ? { kind: "spawned" } : { kind: "command", words: command },
    );
  });
});

describe("options", () => {
  test("are off unless given", async () => {
    const { job } = await read("push", "app");
    expect(job?.output).toEqual({ quiet: false, verbose: false, progress: true, json: false });
  });

  test("are accepted before IMAGE", async () => {
    const { job } = await read(
      "push",
      "-q",
      "--verbose",
      "--no-progress",
      "-H",
      "unix:///x",
      "--platform",
      "linux/arm64/v8",
      "--timeout",
      "2.5",
      "--registry",
      "localhost:5000",
      "app",
      "cat",
    );
    expect(job?.output).toEqual({ quiet: true, verbose: true, progress: false, json: false });
    expect(requestIn(job)).toMatchObject({
      source: {
        given: "app",
        endpoint: { host: "unix:///x" },
        registry: { kind: "external", host: "localhost", port: 5000 },
      },
      connection: { kind: "command", words: ["cat"] },
      platform: { os: "linux", architecture: "arm64", variant: "v8" },
      timeout: 2500,
      delta: "auto",
    });
  });

  test("--delta and --no-delta apply on either side", async () => {
    for (const command of ["push", "pull"]) {
      const delta = async (...options: string[]) =>
        requestIn((await read(command, ...options, "app", "cat")).job)?.delta;
      expect(await delta()).toBe("auto");
      expect(await delta("--delta", "always")).toBe("always");
      expect(await delta("--delta=never")).toBe("never");
      expect(await delta("--no-delta")).toBe("never");
      expect((await read(command, "--delta", "perhaps", "app", "cat")).status).toBe(2);
    }
  });

  test("--preserve-digest applies on either side", async () => {
    expect(requestIn((await read("push", "--preserve-digest", "app")).job)).toMatchObject({ preserveDigest: true });
    expect(requestIn((await read("pull", "--preserve-digest", "app")).job)).toMatchObject({ preserveDigest: true });
  });

  test("--sudo applies to the engine at the remote side", async () => {
    expect(requestIn((await read("push", "--sudo", "app", "ssh://prod")).job)).toMatchObject({
      connection: { kind: "host", given: "ssh://prod", sudo: true },
    });
  });

  test("--via chooses how a pull brings the image into the engine", async () => {
    expect(requestIn((await read("pull", "app")).job)).toMatchObject({ target: { via: "load" } });
    expect(requestIn((await read("pull", "--via", "pull", "app")).job)).toMatchObject({ target: { via: "pull" } });
  });
});

describe("--compress", () => {
  test.each(["push", "pull"])("%s --compress", async (verb) => {
    expect(requestIn((await read(verb, "app")).job)?.compress).toBeUndefined();
    for (const [given, how, level] of [
      ["auto", "auto"],
      ["none", "none"],
      ["brotli", "brotli"],
      ["gzip:9", "gzip", 9],
    ] as const)
      expect(requestIn((await read(verb, "--compress", given, "app")).job)?.compress).toEqual({ how, level });
  });
});

describe("--bwlimit, in bytes per second, accepts rsync's units", () => {
  test.each([
    ["0", 0],
    ["1", 1024],
    ["500", 500 * 1024],
    ["0.5", 512],
    ["1.5", 1536],
    ["1k", 1024],
    ["1KiB", 1024],
    ["1kb", 1000],
    ["1.5M", 1.5 * 1024 ** 2],
    ["1.5MiB", 1.5 * 1024 ** 2],
    ["2mb", 2_000_000],
    ["1g", 1024 ** 3],
    ["1GB", 1_000_000_000],
    ["1t", 1024 ** 4],
    ["512b", 512],
    ["1500.9B", 1500],
  ])("%s is %i", async (given, bytes) => {
    for (const verb of ["push", "pull"])
      expect(requestIn((await read(verb, "--bwlimit", given, "app")).job)?.bwlimit).toBe(bytes);
  });
});

test("--to names the location to which a pull writes the image", async () => {
  expect(requestIn((await read("pull", "--to", "oci:layout:v2", "app")).job)).toMatchObject({
    target: { kind: "oci", path: "layout", name: { given: "v2" } },
  });
});

test("setup accepts options before and after HOST, and no further argument", async () => {
  for (const words of [["--uninstall", "--sudo", "ssh://prod"], ["ssh://prod", "--sudo", "--uninstall"], ["prod"]])
    expect((await read("setup", ...words)).job).toBeDefined();
  const excess = await read("setup", "prod", "docker");
  expect(excess).toMatchObject({ status: 2, err: expect.stringContaining("too many arguments") as string });
  await expect(read("setup", "sh")).rejects.toMatchObject({ code: "usage" });
});

describe("a wrong command line ends with status 2 and an error that names the mistake", () => {
  test.each<[string[], string]>([
    [[], "Usage"],
    [["shove", "app"], "unknown command"],
    [["push", "--nope", "app"], "unknown option '--nope'"],
    [["pull", "--registry", "container", "app"], "unknown option '--registry'"],
    [["push", "--registry", "nonsense", "app"], "embedded, container or HOST:PORT"],
    [["pull", "--via", "magic", "app"], "Allowed choices are load, pull"],
    [["push", "--platform", "arm64", "app"], "OS/ARCH"],
    [["push", "--timeout", "soon", "app"], "number of seconds"],
    [["push", "--timeout", "0", "app"], "number of seconds"],
    [["push", "--timeout"], "argument missing"],
    [["push", "--compress", "lz4", "app"], "Expected auto, none, gzip, brotli or zstd"],
    [["push", "--compress", "gzip:10", "app"], "Expected a level of gzip from 1 to 9."],
    [["pull", "--compress", "brotli:12", "app"], "Expected a level of brotli from 0 to 11."],
    [["pull", "--compress", "zstd:0", "app"], "Expected a level of zstd from 1 to 19."],
    [["push", "--compress", "none:1", "app"], "Expected none without a level."],
    [["push", "--bwlimit", "fast", "app"], "KiB a second"],
    [["push", "--bwlimit", "-1", "app"], "KiB a second"],
    [["push", "--bwlimit", "1.m", "app"], "KiB a second"],
    [["push", "--bwlimit", "10ib", "app"], "KiB a second"],
    [["pull", "--bwlimit", "1e3", "app"], "KiB a second"],
    [["pull", "--bwlimit", "100b", "app"], "at least 512 bytes a second"],
    [["pull", "--bwlimit", "0.1", "app"], "at least 512 bytes a second"],
    [["pull", "--bwlimit", "9999999p", "app"], "bytes a second"],
  ])("%j: %s", async (words, message) => {
    const { err, status } = await read(...words);
    expect(status).toBe(2);
    expect(err).toContain(message);
  });
});

test("--version and --help are written to stdout, with status 0", async () => {
  expect(await read("--version")).toMatchObject({ out: `${VERSION}\n`, status: 0 });
  const help = await read("push", "--help");
  expect(help).toMatchObject({ err: "", status: 0 });
  for (const option of [
    "--registry",
    "--platform",
    "--host",
    "--quiet",
    "--verbose",
    "--no-progress",
    "--timeout",
    "--compress",
    "--bwlimit",
  ]) {
    expect(help.out).toContain(option);
  }
});
