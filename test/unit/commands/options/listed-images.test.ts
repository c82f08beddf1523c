import { chmodSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { parseCommandLine } from "../../../../src/cli.ts";

const folder = mkdtempSync(join(tmpdir(), "docker-over-ssh-lists-"));
const at = (name: string): string => join(folder, name);

/** Writes a program `docker` as a stand-in for compose. */
function writeDocker(script: string): void {
  writeFileSync(at("docker"), `#!/bin/sh\necho "$@" > ${at("args")}\n${script}\n`);
  chmodSync(at("docker"), 0o755);
}

/** Returns the images of a command line, and the words of its remote sides. */
async function read(line: string): Promise<[string[], string[]]> {
  const ignore = { out: () => {}, err: () => {} };
  const parsed = await parseCommandLine(["node", "docker-over-ssh", ...line.split(" ")], { PATH: folder }, ignore);
  if (!("job" in parsed)) expect.fail(`status ${parsed.exitStatus}`);
  const { remotes } = parsed.job.batch ?? expect.fail("no transfer");
  const images = remotes[0].transfers.map((it) => (it.role === "sender" ? it.source.given : (it.image?.given ?? "")));
  return [images, remotes.map(({ connection }) => ("given" in connection ? connection.given : connection.kind))];
}

writeFileSync(at("list"), "# the project\napp:v1\r\n\n  db:1   # the database\napp:v1\n");
writeFileSync(at("empty"), "# nothing\n\n");
writeFileSync(at("long"), "x".repeat(1_000_001));
writeFileSync(at("many"), Array.from({ length: 1001 }, (_, number) => `app:${number}`).join("\n"));
writeFileSync(at("hosts"), "prod\n");

describe.each(["push", "pull"])("%s --images-from", (verb) => {
  test("reads one image per line, each once; all words are the remote side", async () => {
    expect(await read(`${verb} --images-from ${at("list")} ssh://prod`)).toEqual([["app:v1", "db:1"], ["ssh://prod"]]);
    expect(await read(`${verb} --images-from ${at("list")} -- prod`)).toEqual([["app:v1", "db:1"], ["prod"]]);
    expect(await read(`${verb} --images-from ${at("list")}`)).toEqual([["app:v1", "db:1"], ["spawned"]]);
  });

  test.each([
    ["empty", "names no image"],
    ["long", "longer than 1 MB"],
    ["many", "names 1001 images"],
    ["nowhere", "cannot be read"],
  ])("rejects %s", async (file, message) => {
    await expect(read(`${verb} --images-from ${at(file)} ssh://prod`)).rejects.toMatchObject({
      code: "usage",
      message: expect.stringContaining(message) as string,
    });
  });

  test.each([
    ["--images-from -", "without a command stdin is the tunnel"],
    [`--images-from ${at("list")} --compose x ssh://prod`, "both name the images"],
    ["--built app ssh://prod", "--built is for --compose"],
    [`--as x --images-from ${at("list")} ssh://prod`, "2 images are named"],
  ])("rejects %s", async (words, message) => {
    await expect(read(`${verb} ${words}`)).rejects.toMatchObject({
      code: "usage",
      message: expect.stringContaining(message) as string,
    });
  });
});

test("push --images-from with --hosts-file: all words are further hosts", async () => {
  const options = `--images-from ${at("list")} --hosts-file ${at("hosts")}`;
  expect(await read(`push ${options} ssh://two`)).toEqual([
    ["app:v1", "db:1"],
    ["ssh://two", "ssh://prod"],
  ]);
  await expect(read(`push ${options} two`)).rejects.toMatchObject({ code: "usage" });
});

describe("--compose", () => {
  const project = {
    name: "shop",
    services: {
      web: { image: "web:v1", build: { context: "." } },
      worker: { build: {} },
      db: { image: "postgres:16" },
    },
  };
  beforeEach(() => void vi.stubEnv("PATH", `${folder}:/usr/bin:/bin`));
  afterEach(() => vi.unstubAllEnvs());

  test("returns the images of all services, or of those that are built locally", async () => {
    writeDocker(`cat <<'X'\n${JSON.stringify(project)}\nX`);
    expect(await read("push --compose c.yaml ssh://prod")).toEqual([
      ["web:v1", "shop-worker", "postgres:16"],
      ["ssh://prod"],
    ]);
    expect(readFileSync(at("args"), "utf8")).toBe("compose --file c.yaml config --format json\n");
    expect(await read("push --compose c.yaml --built ssh://prod")).toEqual([["web:v1", "shop-worker"], ["ssh://prod"]]);
  });

  test.each([
    ["echo 'no such file' >&2; exit 14", "cannot read c.yaml: no such file"],
    [`echo "docker: 'compose' is not a docker command." >&2; exit 1`, "--compose needs `docker compose`"],
    ["echo 'unknown flag: --file' >&2; exit 125", "--compose needs `docker compose`"],
    ["echo oops", "has printed no JSON"],
    ["echo '{}'", "names no image"],
  ])("rejects a docker that runs %s", async (script, message) => {
    writeDocker(script);
    await expect(read("push --compose c.yaml ssh://prod")).rejects.toMatchObject({
      code: "usage",
      message: expect.stringContaining(message) as string,
    });
  });

  test("fails without docker", async () => {
    vi.stubEnv("PATH", "/nowhere");
    await expect(read("push --compose c.yaml ssh://prod")).rejects.toMatchObject({
      message: "--compose needs `docker compose`, which is not installed",
    });
  });
});
