import { describe, expect, test } from "vitest";
import { parseCommandLine } from "../../../src/cli.ts";
import { parseReference } from "../../../src/image/reference.ts";
import type { PullRequest, PushRequest } from "../../../src/request.ts";
import { AMD64, ARM64 } from "../image/platforms.ts";
import { parseArchivedName } from "../../../src/image/archived-name.ts";

const ID = `sha256:${"0a".repeat(32)}`;

/** Returns the request that a command line creates. */
async function request(words: string, env: NodeJS.ProcessEnv = {}): Promise<PushRequest | PullRequest> {
  const ignore = { out: () => {}, err: () => {} };
  const parsed = await parseCommandLine(
    ["node", "docker-over-ssh", ...words.split(" ")],
    { PATH: process.env["PATH"], ...env },
    ignore,
  );
  if (!("job" in parsed)) expect.fail(`status ${parsed.exitStatus}`);
  return parsed.job.batch?.remotes[0].transfers[0] ?? expect.fail("no transfer");
}

/** The fields of a request for app:v1 without options. */
const app = { given: "app:v1", reference: parseReference("app:v1") };
const common = { delta: "auto" };
const engine = { kind: "docker-daemon", endpoint: undefined };
const fromEngine = { ...engine, given: "app:v1", image: app, registry: { kind: "embedded" } };
const endpoint = (host: string, source: string, address: object) => ({ host, source, address });
const tcp = { protocol: "tcp", hostname: "build", port: 2375, pathPrefix: "" };
const command = { kind: "command", words: ["cat"] };
const ssh = {
  kind: "host",
  given: "ssh://prod",
  address: { protocol: "ssh", hostname: "prod" },
  sudo: false,
  ssh: ["ssh"],
  programs: ["installed", "node", "container", "engine"],
  image: parseReference("node:24.11.1-alpine"),
  isImageRequested: false,
  asksForNode: true,
  paths: [],
};

describe("push", () => {
  test.each<[string, object, NodeJS.ProcessEnv?]>([
    ["push app:v1", { source: fromEngine, connection: { kind: "spawned" } }],
    ["push app:v1 cat", { source: fromEngine, connection: command }],
    [
      "push docker-daemon:app:v1 cat",
      { source: { ...fromEngine, given: "docker-daemon:app:v1" }, connection: command },
    ],
    [
      `push ${ID} cat`,
      { source: { ...fromEngine, given: ID, image: { given: ID, digits: "0a".repeat(32) } }, connection: command },
    ],
    ["push --as app:v2 app:v1 cat", { source: fromEngine, as: parseReference("app:v2"), connection: command }],
    ["push app:v1 ssh://prod", { source: fromEngine, remoteName: app.reference, connection: ssh }],
    [
      "push --to oci:stick app:v1",
      {
        source: fromEngine,
        connection: { kind: "location", location: { kind: "oci", given: "oci:stick", path: "stick" } },
      },
    ],
    [
      "push --sudo app:v1 ssh://prod",
      { source: fromEngine, remoteName: app.reference, connection: { ...ssh, sudo: true } },
    ],
    [
      `push --as app:v1 ${ID} docker system dial-stdio`,
      {
        source: { ...fromEngine, given: ID, image: { given: ID, digits: "0a".repeat(32) } },
        as: app.reference,
        remoteName: app.reference,
        connection: { kind: "engine", words: ["docker", "system", "dial-stdio"] },
      },
    ],
    [
      "push oci:./layout:v2 cat",
      {
        source: { kind: "oci", given: "oci:./layout:v2", path: "./layout", name: parseArchivedName("v2") },
        connection: command,
      },
    ],
    [
      "push docker-archive:app.tar ssh://prod",
      { source: { kind: "docker-archive", given: "docker-archive:app.tar", path: "app.tar" }, connection: ssh },
    ],
    [
      "push --as app:v1 docker-archive:app.tar ssh://prod",
      {
        source: { kind: "docker-archive", given: "docker-archive:app.tar", path: "app.tar" },
        as: app.reference,
        remoteName: app.reference,
        connection: ssh,
      },
    ],
    [
      "push docker-archive:app.tar:app:v1 ssh://prod",
      {
        source: {
          kind: "docker-archive",
          given: "docker-archive:app.tar:app:v1",
          path: "app.tar",
          name: parseArchivedName("app:v1"),
        },
        remoteName: app.reference,
        connection: ssh,
      },
    ],
    [
      "push -H tcp://build app:v1 cat",
      { source: { ...fromEngine, endpoint: endpoint("tcp://build:2375", "-H", tcp) }, connection: command },
    ],
    [
      "push app:v1 cat",
      { source: { ...fromEngine, endpoint: endpoint("tcp://build:2375", "DOCKER_HOST", tcp) }, connection: command },
      { DOCKER_HOST: "tcp://build" },
    ],
    [
      "push --registry container app:v1 cat",
      { source: { ...fromEngine, registry: { kind: "container" } }, connection: command },
    ],
    [
      "push app:v1 cat",
      { source: { ...fromEngine, registry: { kind: "external", host: "127.0.0.1", port: 5000 } }, connection: command },
      { LOCAL_DOCKER_REGISTRY_PORT: "5000" },
    ],
    [
      "push --platform linux/arm64 --platform linux/amd64 --platform linux/arm64 app:v1 cat",
      { source: fromEngine, connection: command, platforms: [ARM64, AMD64] },
    ],
    ["push --no-delta app:v1 cat", { source: fromEngine, connection: command, delta: "never" }],
    ["push --all-platforms app:v1 cat", { source: fromEngine, connection: command, platforms: "all" }],
    [
      "push --platform linux/arm64 --timeout 2.5 --compress gzip:9 --bwlimit 1m --delta always --preserve-digest app:v1 cat",
      {
        source: fromEngine,
        connection: command,
        platform: ARM64,
        timeout: 2500,
        compress: { how: "gzip", level: 9 },
        bwlimit: 1024 ** 2,
        delta: "always",
        preserveDigest: true,
      },
    ],
  ])("%s", async (words, expected, env) => {
    expect(await request(words, env)).toEqual({ role: "sender", ...common, ...expected });
  });

  test.each([
    ["push App", "must be in lower case"],
    ["push --as App app:v1 cat", "must be in lower case"],
    ["push oci: cat", "names no folder"],
    [`push ${ID} ssh://prod`, "is an image ID, but the image needs a name at the receiver"],
    ["push oci:layout:A ssh://prod", "must be in lower case"],
    ["push --registry container --compress gzip app:v1 cat", "--compress has no effect"],
    ["push --registry container oci:layout cat", "--registry is for an engine"],
    ["push -H tcp://build oci:layout cat", "--host is for an engine"],
    ["push -H gopher://build app:v1 cat", "is not the address of an engine"],
    ["push --sudo app:v1 cat", "--sudo is for ssh://HOST, but a command is passed on unchanged"],
    ["push --sudo app:v1", "--sudo is for a host, but no host is given"],
  ])("rejects %s", async (words, message) => {
    await expect(request(words)).rejects.toMatchObject({
      code: "usage",
      message: expect.stringContaining(message) as string,
    });
  });
});

describe("pull", () => {
  const intoEngine = { ...engine, via: "load" };
  const named = { image: app, name: app.reference, isRenamed: false };

  test.each<[string, object]>([
    ["pull app:v1", { ...named, target: intoEngine, connection: { kind: "spawned" } }],
    ["pull docker-daemon:app:v1 cat", { ...named, target: intoEngine, connection: command }],
    ["pull app:v1 ssh://prod", { ...named, target: intoEngine, connection: ssh }],
    [
      "pull --from oci:stick app:v1",
      {
        ...named,
        target: intoEngine,
        connection: { kind: "location", location: { kind: "oci", given: "oci:stick", path: "stick" } },
      },
    ],
    [
      "pull --from oci:stick",
      {
        isRenamed: false,
        acceptsNames: true,
        target: intoEngine,
        connection: { kind: "location", location: { kind: "oci", given: "oci:stick", path: "stick" } },
      },
    ],
    ["pull --via pull app:v1 cat", { ...named, target: { ...engine, via: "pull" }, connection: command }],
    ["pull --to docker-daemon: app:v1 cat", { ...named, target: intoEngine, connection: command }],
    [
      "pull --to docker-daemon:app:v2 app:v1 cat",
      { image: app, name: parseReference("app:v2"), isRenamed: true, target: intoEngine, connection: command },
    ],
    [
      "pull --to oci-archive:- --max-size 1k app:v1 cat",
      {
        ...named,
        target: { kind: "oci-archive", given: "oci-archive:-", path: "-" },
        maxSize: 1024,
        connection: command,
      },
    ],
  ])("%s", async (words, expected) => {
    expect(await request(words)).toEqual({ role: "receiver", ...common, ...expected });
  });

  test.each([
    ["pull app:v1", ["app:v1", "app:v1"]],
    [`pull --as app:v1 ${ID}`, ["app:v1", ID]],
    ["pull --as app:v1 0a0a0a", ["app:v1", "0a0a0a"]],
    ["pull --as app:v2 app:v1", ["app:v2", "app:v1"]],
    [`pull --to docker-daemon:app:v2 ${ID}`, ["app:v2", ID]],
    [`pull --as app:v1 --to oci:layout:v1 docker-daemon:${ID}`, ["app:v1", ID]],
  ])("%s: the names at the receiver and at the sender", async (words, names) => {
    const { name, image } = (await request(words)) as PullRequest;
    expect([name?.given, image?.given]).toEqual(names);
  });

  test.each([
    [`pull ${ID}`, "is an image ID, but the image needs a name"],
    [`pull --to oci:layout ${ID}`, "is an image ID, but the image needs a name"],
    [`pull --as ${ID} app:v1`, "it is an image ID"],
    ["pull --as App app:v1", "must be in lower case"],
    [`pull --as app:v1 --to docker-daemon:app:v2 ${ID}`, "two names for one image"],
    ["pull --to layout app:v1", "--to layout does not name a location"],
    ["pull oci:layout", "oci:layout is a location, but pull needs the name of an image"],
    ["pull --to oci:layout --via load app:v1", "--via is for an engine"],
    ["pull --via pull --max-size 1g app:v1", "--max-size cannot be enforced"],
    ["pull --via pull --compress gzip app:v1", "--compress has no effect"],
  ])("rejects %s", async (words, message) => {
    await expect(request(words)).rejects.toMatchObject({
      code: "usage",
      message: expect.stringContaining(message) as string,
    });
  });
});
