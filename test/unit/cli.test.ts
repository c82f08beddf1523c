import { describe, expect, test } from "vitest";
import { parseCommandLine, type Job } from "../../src/cli.ts";
import { VERSION } from "../../src/version.ts";

/** Reads a command line; what it printed, and the job with the request that it would run. */
async function read(...words: string[]): Promise<{ out: string; err: string; status?: number; job?: Job }> {
  let [out, err] = ["", ""];
  const parsed = await parseCommandLine(["node", "docker-over-ssh", ...words], {
    out: (text) => (out += text),
    err: (text) => (err += text),
  });
  return "job" in parsed ? { out, err, job: parsed.job } : { out, err, status: parsed.exitStatus };
}

describe("everything after IMAGE is the command, dashes included", () => {
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
    expect(job?.request.image).toBe(image);
    expect(job?.request.command).toEqual(command);
  });
});

describe("options", () => {
  test("are off unless given", async () => {
    const { job } = await read("push", "app");
    expect(job?.choice).toEqual({ quiet: false, verbose: false, progress: true });
  });

  test("are taken before IMAGE", async () => {
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
    expect(job?.choice).toEqual({ quiet: true, verbose: true, progress: false });
    expect(job?.request).toEqual({
      image: "app",
      command: ["cat"],
      host: "unix:///x",
      platform: "linux/arm64/v8",
      timeout: 2500,
      registry: "localhost:5000",
    });
  });

  test("--sudo is for the engine at the far end", async () => {
    expect((await read("push", "--sudo", "app", "ssh://prod")).job?.request).toMatchObject({
      sudo: true,
      command: ["ssh://prod"],
    });
  });

  test("--via chooses how a pull brings the image into the engine", async () => {
    expect((await read("pull", "app")).job?.request.via).toBeUndefined();
    expect((await read("pull", "--via", "pull", "app")).job?.request.via).toBe("pull");
  });
});

test("--to names where a pull puts the image", async () => {
  expect((await read("pull", "--to", "oci:layout:v2", "app")).job?.request.to).toBe("oci:layout:v2");
});

describe("a wrong command line has status 2 and says what is wrong", () => {
  test.each<[string[], string]>([
    [[], "Usage"],
    [["push"], "missing required argument 'IMAGE'"],
    [["shove", "app"], "unknown command"],
    [["push", "--nope", "app"], "unknown option '--nope'"],
    [["pull", "--registry", "container", "app"], "unknown option '--registry'"],
    [["push", "--registry", "nonsense", "app"], "embedded, container or HOST:PORT"],
    [["pull", "--via", "magic", "app"], "Allowed choices are load, pull"],
    [["push", "--platform", "arm64", "app"], "OS/ARCH"],
    [["push", "--timeout", "soon", "app"], "number of seconds"],
    [["push", "--timeout", "0", "app"], "number of seconds"],
    [["push", "--timeout"], "argument missing"],
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
  for (const option of ["--registry", "--platform", "--host", "--quiet", "--verbose", "--no-progress", "--timeout"]) {
    expect(help.out).toContain(option);
  }
});
