import { createHash } from "node:crypto";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { chooseEndpoint } from "../../../../src/engine/connect/choose-endpoint.ts";
import { namedEndpoint } from "../../../../src/engine/connect/endpoint.ts";
import { rejection, temporaryFolder } from "../fake-engine.ts";

let home: Awaited<ReturnType<typeof temporaryFolder>>;
beforeEach(async () => void (home = await temporaryFolder()));
afterEach(() => home[Symbol.asyncDispose]());

async function writeConfig(content: string, folder = join(home.path, ".docker")): Promise<void> {
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, "config.json"), content);
}

async function writeContext(name: string, meta: unknown, folder = join(home.path, ".docker")): Promise<string> {
  const path = join(folder, "contexts", "meta", createHash("sha256").update(name).digest("hex"));
  await mkdir(path, { recursive: true });
  await writeFile(join(path, "meta.json"), typeof meta === "string" ? meta : JSON.stringify(meta));
  return path;
}

const docker = (Host: string, SkipTLSVerify = false) => ({
  Name: "any",
  Metadata: {},
  Endpoints: { docker: { Host, SkipTLSVerify } },
});
const choose = async (env: NodeJS.ProcessEnv, host?: string) =>
  chooseEndpoint({ named: namedEndpoint(host, env, "linux"), env, homedir: home.path, platform: "linux" });

describe("chooses the engine", () => {
  beforeEach(async () => {
    await writeConfig(JSON.stringify({ currentContext: "colima", auths: {} }));
    await writeContext("colima", docker("unix:///colima.sock"));
    await writeContext("prod", docker("ssh://deploy@prod"));
  });

  test.each<[string, NodeJS.ProcessEnv, string | undefined, string, string]>([
    ["-H first", { DOCKER_HOST: "tcp://env", DOCKER_CONTEXT: "prod" }, "tcp://option", "tcp://option:2375", "-H"],
    [
      "an empty -H is the default, with any context",
      { DOCKER_HOST: "tcp://env" },
      "",
      "unix:///var/run/docker.sock",
      "-H",
    ],
    [
      "DOCKER_HOST before contexts",
      { DOCKER_HOST: "tcp://env", DOCKER_CONTEXT: "prod" },
      undefined,
      "tcp://env:2375",
      "DOCKER_HOST",
    ],
    [
      "an empty DOCKER_HOST is none",
      { DOCKER_HOST: "", DOCKER_CONTEXT: "prod" },
      undefined,
      "ssh://deploy@prod",
      "context prod",
    ],
    ["DOCKER_CONTEXT before config.json", { DOCKER_CONTEXT: "prod" }, undefined, "ssh://deploy@prod", "context prod"],
    [
      "DOCKER_CONTEXT=default",
      { DOCKER_CONTEXT: "default" },
      undefined,
      "unix:///var/run/docker.sock",
      "context default",
    ],
    ["currentContext of config.json", {}, undefined, "unix:///colima.sock", "context colima"],
    [
      "no config.json in DOCKER_CONFIG",
      { DOCKER_CONFIG: "/nowhere" },
      undefined,
      "unix:///var/run/docker.sock",
      "context default",
    ],
  ])("%s", async (_name, env, host, expected, source) => {
    expect(await choose(env, host)).toMatchObject({ host: expected, source });
  });

  test("of a context in DOCKER_CONFIG", async () => {
    const elsewhere = join(home.path, "elsewhere");
    await writeConfig('{"currentContext":"lab"}', elsewhere);
    await writeContext("lab", docker("tcp://lab:2375"), elsewhere);
    expect(await choose({ DOCKER_CONFIG: elsewhere })).toMatchObject({ host: "tcp://lab:2375", source: "context lab" });
  });

  test.each(["{}", '{"currentContext":""}', '{"currentContext":"default"}', "null"])(
    "config.json %s means the default socket",
    async (content) => {
      await writeConfig(content);
      expect(await choose({})).toMatchObject({ host: "unix:///var/run/docker.sock", source: "context default" });
    },
  );

  test("on Windows, a named pipe by default", async () => {
    const endpoint = await chooseEndpoint({
      env: { DOCKER_CONTEXT: "default" },
      homedir: home.path,
      platform: "win32",
    });
    expect(endpoint.address).toEqual({ protocol: "npipe", path: "//./pipe/docker_engine" });
  });

  test("of a TCP context without a port, with the default port", async () => {
    await writeContext("lab", docker("tcp://lab"));
    await writeContext("lab-tls", docker("tcp://lab", true));
    expect(await choose({ DOCKER_CONTEXT: "lab" })).toMatchObject({ host: "tcp://lab:2375" });
    expect(await choose({ DOCKER_CONTEXT: "lab-tls" })).toMatchObject({
      host: "tcp://lab:2376",
      address: { tls: { verify: false } },
    });
  });
});

describe("rejects", () => {
  test("a context that does not exist", async () => {
    const error = await rejection(choose({ DOCKER_CONTEXT: "gone" }));
    expect(error).toMatchObject({
      code: "usage",
      message: 'context "gone" (DOCKER_CONTEXT): context not found',
      hint: expect.stringContaining("docker context ls"),
    });
  });

  test("a current context that does not exist", async () => {
    await writeConfig('{"currentContext":"gone"}');
    const error = await rejection(choose({}));
    expect(error).toMatchObject({
      code: "usage",
      message: expect.stringContaining(`currentContext of ${join(home.path, ".docker", "config.json")}`),
    });
  });

  test("a context without a Docker endpoint", async () => {
    await writeContext("k8s", { Name: "k8s", Endpoints: { kubernetes: {} } });
    expect(await rejection(choose({ DOCKER_CONTEXT: "k8s" }))).toMatchObject({
      code: "engine-unreachable",
      message: expect.stringContaining('context "k8s"'),
    });
  });

  test("a context whose host is malformed", async () => {
    await writeContext("odd", docker("gopher://lab"));
    expect(await rejection(choose({ DOCKER_CONTEXT: "odd" }))).toMatchObject({
      code: "usage",
      message: expect.stringContaining("gopher://lab (context odd)"),
    });
  });

  test.each(["{", "", "currentContext: prod"])("config.json that is not JSON: %j", async (content) => {
    await writeConfig(content);
    const error = await rejection(choose({}));
    expect(error).toMatchObject({
      code: "engine-unreachable",
      message: expect.stringContaining(join(".docker", "config.json")),
      hint: expect.any(String),
      expected: expect.any(String),
    });
  });

  test("config.json that cannot be read", async () => {
    await mkdir(join(home.path, ".docker", "config.json"), { recursive: true });
    expect(await rejection(choose({}))).toMatchObject({
      code: "engine-unreachable",
      message: expect.stringContaining("config.json"),
    });
  });

  test("a meta.json that is not JSON", async () => {
    const folder = await writeContext("torn", '{"Name":');
    expect(await rejection(choose({ DOCKER_CONTEXT: "torn" }))).toMatchObject({
      code: "engine-unreachable",
      message: expect.stringContaining(join(folder, "meta.json")),
    });
  });

  test("(config.json is not read if an engine is named)", async () => {
    await writeConfig("{");
    expect(await choose({ DOCKER_HOST: "tcp://env" })).toMatchObject({ host: "tcp://env:2375" });
    expect(await choose({}, "tcp://option")).toMatchObject({ host: "tcp://option:2375" });
  });
});
