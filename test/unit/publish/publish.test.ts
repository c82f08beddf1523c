import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { extract } from "tar-stream";
import { beforeEach, describe, expect, test } from "vitest";
import { codesOf, FastClock, folder, logOf, runPublish } from "./run-publish.ts";
import { ID, StandIn, type StandInBuild } from "./stand-in.ts";

const context = join(folder, "context");
mkdirSync(join(context, "docker"), { recursive: true });
writeFileSync(join(context, "Dockerfile"), "FROM scratch\n");
writeFileSync(join(context, "docker/Dockerfile"), "FROM scratch\n");
writeFileSync(join(context, "secret.env"), "no\n");
writeFileSync(join(context, ".dockerignore"), "secret.env\n");

let server: StandIn;
beforeEach(async () => {
  server = await StandIn.start();
  return async () => await server[Symbol.asyncDispose]();
});

const run = async (options: Parameters<typeof runPublish>[0] = {}) =>
  await runPublish({ server: server.url, context, ...options });

async function namesIn(archive: Buffer): Promise<string[]> {
  const tar = extract();
  tar.end(gunzipSync(archive));
  const names: string[] = [];
  for await (const entry of tar) {
    names.push(entry.header.name);
    entry.resume();
  }
  return names;
}

describe("sends", () => {
  test("the files that the rules include, and the requested options", async () => {
    const { error, events } = await run({
      name: "registry.example.com/team/app:v2",
      file: "docker/Dockerfile",
      target: "prod",
      buildArg: [
        ["A", "1"],
        ["FROM_ENV", undefined],
        ["UNKNOWN", undefined],
      ],
      label: [["l", undefined]],
      platform: { os: "linux", architecture: "arm64" },
      cache: false,
      pull: true,
      push: false,
      keepImage: true,
      env: { FROM_ENV: "2" },
    });
    expect(error).toBeUndefined();
    const [build] = server.builds;
    expect(build?.fields).toEqual({
      name: "registry.example.com/team/app:v2",
      file: "docker/Dockerfile",
      target: "prod",
      buildArgs: { A: "1", FROM_ENV: "2" },
      labels: { l: "" },
      platform: "linux/arm64",
      noCache: true,
      pull: true,
      push: false,
      purge: false,
    });
    expect(await namesIn(build?.archive ?? Buffer.alloc(0))).toEqual([
      ".dockerignore",
      "Dockerfile",
      "docker/",
      "docker/Dockerfile",
    ]);
    expect(events.find(({ type }) => type === "progress")).toMatchObject({ stage: "sending-context" });
  });

  test("an order to push the image and to remove it on the server, by default", async () => {
    await run();
    expect(server.builds[0]?.fields).toMatchObject({ file: "Dockerfile", push: true, purge: true, noCache: false });
  });

  test("the token from the file or from BUILD_AUTH, with or without Bearer, and no error contains it", async () => {
    const tokenFile = join(folder, "token");
    writeFileSync(tokenFile, "dos_file\n");
    await run({ tokenFile, env: { BUILD_AUTH: "other" } });
    expect([...server.authorizations]).toEqual(["Bearer dos_file"]);
    server.authorizations.clear();
    await run({ env: { BUILD_AUTH: "Bearer dos_env" } });
    expect([...server.authorizations]).toEqual(["Bearer dos_env"]);
    const { error } = await run({ env: { BUILD_AUTH: "dos_env\r\nX-Evil: 1" } });
    expect(error).toMatchObject({ code: "usage", message: "BUILD_AUTH has no token" });
  });

  test("to BUILD_HOST and BUILD_PORT, like dockerbuild", async () => {
    await runPublish({ context, env: { BUILD_HOST: "127.0.0.1", BUILD_PORT: String(server.port) } });
    expect(server.builds).toHaveLength(1);
  });

  test("nothing if the Dockerfile is missing", async () => {
    const { error } = await run({ context: join(folder, "context/docker"), file: "other" });
    expect(error).toMatchObject({ code: "not-buildable" });
    expect(server.builds).toEqual([]);
  });
});

describe("credentials for the registry", () => {
  const auth = (user: string): string => Buffer.from(`${user}:pw-${user}`).toString("base64");
  const DOCKER_AUTH_CONFIG = JSON.stringify({
    auths: { "registry.example.com": { auth: auth("team") }, "https://index.docker.io/v1/": { auth: auth("hub") } },
  });
  const env = { DOCKER_AUTH_CONFIG };
  /** A name that leads to this machine, but is not one of its addresses. */
  const elsewhere = (): string => `http://0.0.0.0:${server.port}`;

  test.each([
    ["registry.example.com/app", "team"],
    ["team/app", "hub"],
    ["other.example.com/app", undefined],
  ])("of %s: %s", async (name, username) => {
    const published = await run({ name, env });
    expect(server.builds[0]?.fields["credentials"]).toEqual(username && { username, password: `pw-${username}` });
    expect(codesOf(published).includes("credentials-sent")).toBe(username !== undefined);
    expect(JSON.stringify(published.events)).not.toContain("pw-");
  });

  test("are not sent if others could read them, unless the option is always", async () => {
    const published = await run({ env, server: elsewhere() });
    expect(server.builds[0]?.fields).not.toHaveProperty("credentials");
    expect(codesOf(published)).toContain("credentials-not-sent");
    await run({ env, server: elsewhere(), registryCredentials: "always" });
    expect(server.builds[1]?.fields).toHaveProperty("credentials");
  });

  test("are not sent with never, nor for an image that is not pushed", async () => {
    await run({ env, registryCredentials: "never" });
    await run({ env, push: false });
    for (const { fields } of server.builds) expect(fields).not.toHaveProperty("credentials");
    expect(server.builds).toHaveLength(2);
  });
});

describe("a lost answer", () => {
  test("causes a second upload, and the server has one build", async () => {
    server.answersToLose = 2;
    const { error, clock } = await run();
    expect(error).toBeUndefined();
    expect(server.requests.filter((one) => one === "POST /api/v2/builds")).toHaveLength(3);
    expect(server.builds).toHaveLength(1);
    expect(clock.pauses).toEqual([1000, 2000]);
  });

  test("causes an error after some minutes", async () => {
    server.answersToLose = Infinity;
    const { error, clock } = await run();
    expect(error).toMatchObject({ code: "server-unreachable" });
    expect(clock.now()).toBeGreaterThan(5 * 60_000);
    expect(clock.now()).toBeLessThanOrEqual(10 * 60_000);
  });

  test("(two builds have two keys)", async () => {
    await run();
    await run();
    expect(server.builds).toHaveLength(2);
  });
});

describe("the log", () => {
  const LINES = Array.from({ length: 50 }, (_, index) => `#${index} é`);

  test("is printed line by line, with the place in the queue, to its end", async () => {
    server.onAccepted = (build) => server.change(build, { position: 3 });
    let build: StandInBuild | undefined;
    const published = await run({
      onEvent(event) {
        [build] = server.builds;
        if (build === undefined) return;
        if (event.type === "note" && event.code === "build-waiting") server.log(build, "a", "", "b");
        if (event.type === "build-text" && event.text === "b\n") {
          server.end(build, {
            state: "succeeded",
            imageId: ID,
            digest: `sha256:${"c".repeat(64)}`,
            size: 84_000_000,
            seconds: { queue: 0.005, build: 40, push: 2 },
          });
        }
      },
    });
    expect(logOf(published)).toEqual(["a", "", "b"]);
    expect(codesOf(published)).toEqual(["build-accepted", "build-waiting"]);
    expect(published.events.at(-1)).toMatchObject({
      type: "built",
      names: ["team/app:v2"],
      id: ID,
      digest: `sha256:${"c".repeat(64)}`,
      size: 84_000_000,
      contextBytes: server.builds[0]?.archive.length,
      ms: { build: 40_000, push: 2000 },
    });
  });

  test("continues after the last line each time the connection is lost, and prints each line once", async () => {
    server.cuts.push(0, 1, 20, 49);
    server.onAccepted = (build) => {
      build.log.push(...LINES);
      server.end(build, { state: "succeeded", imageId: ID });
    };
    const published = await run();
    expect(published.error).toBeUndefined();
    expect(logOf(published)).toEqual(LINES);
    expect(server.resumedAfter).toEqual([undefined, undefined, "L1", "L20", "L49"]);
    expect(codesOf(published).filter((code) => code === "connecting-in")).toHaveLength(4);
  });

  test("continues when the server is available again", async () => {
    const clock = new FastClock();
    let isAway = false;
    server.onAccepted = (build) => {
      build.log.push(...LINES);
    };
    clock.onPause = async () => {
      if (clock.pauses.length < 4) return;
      if (isAway) await server.listen();
      isAway = false;
      const [build] = server.builds;
      if (build !== undefined) server.end(build, { state: "succeeded", imageId: ID });
    };
    const published = await run({
      clock,
      onEvent(event) {
        if (event.type !== "build-text" || event.text.trimEnd() !== LINES.at(-1)) return;
        isAway = true;
        void server.stop();
      },
    });
    expect(published.error).toBeUndefined();
    expect(logOf(published)).toEqual(LINES);
    expect(clock.pauses.slice(0, 4)).toEqual([1000, 2000, 4000, 8000]);
  });

  test("ends when the server stays unavailable, and the message names the build", async () => {
    server.onAccepted = (build) => void build.log.push("a");
    const published = await run({
      onEvent: (event) => void (event.type === "build-text" && server.stop()),
    });
    expect(published.error).toMatchObject({
      code: "link-lost",
      expected: expect.stringContaining("build-1") as string,
    });
    await server.listen();
  });
});

describe("the end", () => {
  test.each([
    ["build-failed", "failed", { code: "build-failed", message: "step 2 failed", hint: "Mend it." }, 15],
    ["not-buildable", "failed", { code: "not-buildable", message: "there is no Dockerfile" }, 17],
    ["push-refused", "failed", { code: "push-refused", message: "denied" }, 18],
    ["transfer-failed", "failed", { code: "of-a-later-version", message: "who knows" }, 1],
    ["build-failed", "timed_out", { code: "time-limit", message: "longer than 1 h" }, 15],
    ["refused", "cancelled", undefined, 13],
  ])("%s: a build that has %s %j ends with status %d", async (code, state, reason, exitStatus) => {
    server.onAccepted = (build) => server.end(build, { state, reason });
    const { error } = await run();
    expect(error).toMatchObject({ code, exitStatus, message: reason?.message ?? "the build was cancelled" });
  });

  test("--detach prints the ID, and does not wait", async () => {
    server.onAccepted = () => {};
    const published = await run({ detach: true });
    expect(published).toMatchObject({ error: undefined, printed: "build-1\n" });
    expect(server.requests.some((one) => one.endsWith("/logs"))).toBe(false);
    expect((await run({ detach: true, json: true })).printed).toBe("");
  });
});

test("works through a Unix socket", async () => {
  const path = join(folder, "serve.sock");
  await using own = await StandIn.start(path);
  const { error } = await run({ server: `unix:${path}` });
  expect(error).toBeUndefined();
  expect(own.builds).toHaveLength(1);
});
