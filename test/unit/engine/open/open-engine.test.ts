import { Readable } from "node:stream";
import { describe, expect, test } from "vitest";
import { openEngine } from "../../../../src/engine/open/open-engine.ts";
import type { ContainerSpec } from "../../../../src/engine/engine-containers.ts";
import { InvalidReference } from "../../../../src/image/reference.ts";
import { answer, fakeEngine, latch, rejection, type Route } from "../fake-engine.ts";
import { AMD64, ARM64, asPlatform } from "../../image/platforms.ts";
import { PLAIN_ORDER } from "../../../fixtures/build-order.ts";
import { memoryContext } from "../build/memory-context.ts";

const json =
  (body: object | string, status = 200): Route =>
  (_request, response) =>
    answer(response, status, body);
const credentials = { username: "me", password: "hunter2" };

describe("the API version", () => {
  test.each([
    ["1.41", "1.41"],
    ["1.51", "1.51"],
    ["1.53", "1.51"],
  ])("of an engine with %s is %s", async (offered, spoken) => {
    await using fake = await fakeEngine(
      { "GET /version": json({ Version: "1", Os: "linux", Arch: "arm64" }), "GET /info": json({ DriverStatus: null }) },
      offered,
    );
    await using engine = await openEngine(fake.endpoint);
    expect(await engine.info()).toEqual({
      version: "1",
      apiVersion: spoken,
      store: "graphdriver",
      platform: ARM64,
    });
  });
});

describe("the kind of store", () => {
  test.each([
    ["graphdriver", [{ Name: "Engine" }], [["Backing Filesystem", "extfs"]]],
    ["containerd", [{ Name: "Engine" }], [["driver-type", "io.containerd.snapshotter.v1"]]],
    ["podman", [{ Name: "Podman Engine" }, { Name: "Conmon" }], [["Backing Filesystem", "extfs"]]],
  ])("%s", async (store, Components, DriverStatus) => {
    await using fake = await fakeEngine({
      "GET /version": json({ Version: "1", Os: "linux", Arch: "amd64", Components }),
      "GET /info": json({ DriverStatus }),
    });
    await using engine = await openEngine(fake.endpoint);
    expect(await engine.info()).toMatchObject({ store });
  });
});

describe("an image", () => {
  const image = {
    Id: "sha256:1",
    Os: "linux",
    Architecture: "arm64",
    Variant: "v8",
    Size: 9,
    RootFS: { Layers: ["sha256:2"] },
  };
  const info = {
    id: "sha256:1",
    names: [],
    platform: asPlatform("linux/arm64/v8"),
    size: 9,
    diffIds: ["sha256:2"],
  };

  test("that does not exist is undefined", async () => {
    await using fake = await fakeEngine();
    await using engine = await openEngine(fake.endpoint);
    expect(await engine.inspectImage("app:v1")).toBeUndefined();
  });

  test("is requested by platform from newer engines", async () => {
    await using fake = await fakeEngine({ "GET /images/localhost:5000/app:v1/json": json(image) }, "1.49");
    await using engine = await openEngine(fake.endpoint);
    expect(await engine.inspectImage("localhost:5000/app:v1", asPlatform("linux/arm64/v8"))).toEqual(info);
    expect(fake.seen[0]?.query.get("platform")).toBe('{"os":"linux","architecture":"arm64","variant":"v8"}');
  });

  test.each([
    ["linux/arm64", true],
    ["linux/arm64/v8", true],
    ["linux/arm64/v9", false],
    ["linux/amd64", false],
    ["windows/arm64", false],
  ])("from an older engine is compared with the platform: %s %s", async (platform, same) => {
    await using fake = await fakeEngine({ "GET /images/app:v1/json": json(image) }, "1.48");
    await using engine = await openEngine(fake.endpoint);
    expect(await engine.inspectImage("app:v1", asPlatform(platform))).toEqual(same ? info : undefined);
    expect(fake.seen[0]?.query.has("platform")).toBe(false);
  });

  test("is listed by its names, without <none>", async () => {
    await using fake = await fakeEngine({
      "GET /images/json": json([
        { RepoTags: ["app:v1", "app:v2"] },
        { RepoTags: null },
        { RepoTags: ["<none>:<none>"] },
      ]),
    });
    await using engine = await openEngine(fake.endpoint);
    expect(await engine.listReferences()).toEqual(["app:v1", "app:v2"]);
  });

  test("gets another name, and loses it without its parents", async () => {
    await using fake = await fakeEngine({
      "POST /images/app:v1/tag": json("", 201),
      "DELETE /images/localhost:5000/app:v2": json([]),
    });
    await using engine = await openEngine(fake.endpoint);
    await engine.tagImage("app:v1", "localhost:5000/app:v2");
    await engine.removeReference("localhost:5000/app:v2");
    await engine.removeReference("gone:v1");
    expect(fake.seen.map(({ method, query }) => `${method} ${query.toString()}`)).toEqual([
      "POST repo=localhost%3A5000%2Fapp&tag=v2",
      "DELETE noprune=true",
      "DELETE noprune=true",
    ]);
  });

  test.each([`sha256:${"ab".repeat(32)}`, "[::1]:5000/app:v1", `app@sha512+b64u:${"0".repeat(64)}`])(
    "is found by any kind of name: %s",
    async (name) => {
      await using fake = await fakeEngine({
        [`GET /images/${name}/json`]: json(image),
        [`POST /images/${name}/tag`]: json("", 201),
      });
      await using engine = await openEngine(fake.endpoint);
      expect(await engine.inspectImage(name)).toEqual(info);
      await engine.tagImage(name, "[::1]:5000/app:v2");
      expect(Object.fromEntries(fake.seen[1]?.query ?? [])).toEqual({ repo: "[::1]:5000/app", tag: "v2" });
    },
  );

  test.each(["../containers/json?x=", "app:v1?force=1", "a//b", "app/../b:v1", "", "ä"])(
    "an invalid name never reaches the engine: %j",
    async (name) => {
      await using fake = await fakeEngine();
      await using engine = await openEngine(fake.endpoint);
      for (const call of [
        engine.inspectImage(name),
        engine.tagImage(name, "a:b"),
        engine.tagImage("a:b", name),
        engine.removeReference(name),
        engine.pullImage(name),
        engine.pushImage(name),
      ]) {
        expect(await rejection(call)).toBeInstanceOf(InvalidReference);
      }
      expect(fake.seen).toEqual([]);
    },
  );

  test("that causes an error: the error contains the engine's message and status", async () => {
    await using fake = await fakeEngine({
      "DELETE /images/app:v1": json({ message: "conflict: image is in use" }, 409),
      "POST /images/app:v1/tag": json("<html>Bad gateway</html>", 502),
    });
    await using engine = await openEngine(fake.endpoint);
    expect(await rejection(engine.removeReference("app:v1"))).toMatchObject({
      name: "EngineError",
      status: 409,
      message: "conflict: image is in use",
    });
    expect(await rejection(engine.tagImage("app:v1", "app:v2"))).toMatchObject({
      name: "EngineError",
      status: 502,
      message: "<html>Bad gateway</html>",
    });
  });
});

describe("push and pull", () => {
  const done = json('{"status":"done"}\n');

  test("send credentials in one header and nowhere else", async () => {
    await using fake = await fakeEngine({ "POST /images/create": done, "POST /images/localhost:5000/app/push": done });
    await using engine = await openEngine(fake.endpoint);
    await engine.pullImage("localhost:5000/app:v1", { credentials, platform: asPlatform("linux/arm/v7") });
    await engine.pushImage("localhost:5000/app:v1", { credentials, platform: asPlatform("linux/arm/v7") });
    expect(fake.seen.map(({ query }) => Object.fromEntries(query))).toEqual([
      { fromImage: "localhost:5000/app", tag: "v1", platform: "linux/arm/v7" },
      { tag: "v1", tlsVerify: "false", platform: '{"os":"linux","architecture":"arm","variant":"v7"}' },
    ]);
    for (const { headers, body } of fake.seen) {
      const auth = JSON.parse(Buffer.from(String(headers["x-registry-auth"]), "base64url").toString());
      expect(auth).toEqual({ username: "me", password: "hunter2", serveraddress: "localhost:5000" });
      expect(body).toBe("");
    }
  });

  test("also send the header without credentials", async () => {
    await using fake = await fakeEngine({ "POST /images/app/push": done });
    await using engine = await openEngine(fake.endpoint);
    await engine.pushImage("app:v1");
    expect(Buffer.from(String(fake.seen[0]?.headers["x-registry-auth"]), "base64url").toString()).toBe("{}");
  });

  test("send no platform to an old engine", async () => {
    await using fake = await fakeEngine({ "POST /images/app/push": done }, "1.45");
    await using engine = await openEngine(fake.endpoint);
    await engine.pushImage("app:v1", { platform: AMD64 });
    expect(fake.seen[0]?.query.has("platform")).toBe(false);
  });

  test("request a digest by digest", async () => {
    await using fake = await fakeEngine({ "POST /images/create": done });
    await using engine = await openEngine(fake.endpoint);
    const digest = `sha256:${"0".repeat(64)}`;
    await engine.pullImage(`app:v1@${digest}`);
    expect(Object.fromEntries(fake.seen[0]?.query ?? [])).toEqual({ fromImage: "app", tag: digest });
  });

  test.each([
    ["[::1]:5000/app:v1", "[::1]:5000"],
    ["Registry/app:v1", "Registry"],
    ["app:v1", "https://index.docker.io/v1/"],
    ["team/app:v1", "https://index.docker.io/v1/"],
    ["docker.io/team/app:v1", "https://index.docker.io/v1/"],
  ])("%s: the credentials are for %s", async (name, serveraddress) => {
    await using fake = await fakeEngine({ "POST /images/create": done });
    await using engine = await openEngine(fake.endpoint);
    await engine.pullImage(name, { credentials });
    const header = String(fake.seen[0]?.headers["x-registry-auth"]);
    expect(JSON.parse(Buffer.from(header, "base64url").toString())).toMatchObject({ serveraddress });
  });

  test("fail without tag and digest, because the engine would pull every tag", async () => {
    await using fake = await fakeEngine();
    await using engine = await openEngine(fake.endpoint);
    expect(await rejection(engine.pullImage("localhost:5000/app"))).toBeInstanceOf(TypeError);
    expect(await rejection(engine.pushImage("app"))).toBeInstanceOf(TypeError);
    expect(fake.seen).toEqual([]);
  });

  test("fail on an error in the stream, even after status 200", async () => {
    await using fake = await fakeEngine({
      "POST /images/create": json(
        '{"status":"Pulling"}\n{"errorDetail":{"message":"manifest unknown"},"error":"manifest unknown"}\n',
      ),
    });
    await using engine = await openEngine(fake.endpoint);
    expect(await rejection(engine.pullImage("app:v1"))).toMatchObject({
      name: "EngineError",
      message: "manifest unknown",
      status: undefined,
    });
  });

  test("fail on a truncated stream", async () => {
    await using fake = await fakeEngine({
      "POST /images/create": (_request, response) => response.write('{"status":"Pulling"}\n', () => response.destroy()),
    });
    await using engine = await openEngine(fake.endpoint);
    expect(await rejection(engine.pullImage("app:v1"))).toMatchObject({
      code: "engine-unreachable",
      message: expect.stringContaining(fake.socketPath),
    });
  });

  test("an abort ends the request with its reason", async () => {
    const hungUp = latch();
    await using fake = await fakeEngine({
      "POST /images/app/push": (_request, response) => {
        response.on("close", hungUp.open);
        response.write('{"status":"Preparing"}\n');
      },
    });
    await using engine = await openEngine(fake.endpoint);
    const abort = new AbortController();
    const reason = new Error("enough");
    expect(
      await rejection(engine.pushImage("app:v1", { signal: abort.signal, onProgress: () => abort.abort(reason) })),
    ).toBe(reason);
    await hungUp.opened;
    expect(await rejection(engine.pullImage("app:v1", { signal: abort.signal }))).toBe(reason);
    expect(fake.calls()).toEqual(["POST /images/app/push"]);
  });
});

describe("a load", () => {
  const loaded = '{"stream":"Loaded image: app:v1\\n"}\r\n';

  test("sends the archive, and the platform to newer engines", async () => {
    await using fake = await fakeEngine({ "POST /images/load": json(loaded) });
    await using engine = await openEngine(fake.endpoint);
    await engine.loadImage(Readable.from(["a tar ", "archive"]), AMD64);
    expect(fake.seen[0]?.body).toBe("a tar archive");
    expect(fake.seen[0]?.query.get("platform")).toBe('{"os":"linux","architecture":"amd64"}');
  });

  test("reports the engine's progress with each layer", async () => {
    const id = "0123456789ab";
    const line = JSON.stringify({
      status: "Loading layer",
      progressDetail: { current: 5, total: 9 },
      progress: "[>]",
      id,
    });
    await using fake = await fakeEngine({ "POST /images/load": json(`${line}\r\n${loaded}`) });
    await using engine = await openEngine(fake.endpoint);
    const lines: unknown[] = [];
    await engine.loadImage(Readable.from(["archive"]), undefined, (progress) => lines.push(progress));
    expect(lines).toEqual([{ id, status: "Loading layer", current: 5, total: 9 }]);
  });

  test.each([
    ["EngineError", /^Error unpacking image app:v1: .* unexpected EOF$/, "unexpected EOF"],
    ["Failure", /disk is full/, "write /x: no space left on device"],
  ])("fails after status 200 if the engine cannot unpack the image: %s", async (name, message, why) => {
    const line = JSON.stringify({ stream: `Error unpacking image app:v1: apply layer error for "app:v1": ${why}\n` });
    await using fake = await fakeEngine({ "POST /images/load": json(`${loaded}${line}\r\n`) });
    await using engine = await openEngine(fake.endpoint);
    const error = await rejection(engine.loadImage(Readable.from(["archive"])));
    expect(error).toMatchObject({ name, message: expect.stringMatching(message) });
  });
});

describe("a truncated answer", () => {
  test("causes an error, not a pending promise", async () => {
    await using fake = await fakeEngine({
      "GET /images/json": (_request, response) => {
        response.setHeader("Content-Length", 100);
        response.write("[", () => response.destroy());
      },
    });
    await using engine = await openEngine(fake.endpoint);
    expect(await rejection(engine.listReferences())).toMatchObject({ code: "engine-unreachable" });
  });

  test("disposing the engine ends open requests", async () => {
    const asked = latch();
    await using fake = await fakeEngine({ "GET /images/json": () => asked.open() });
    const engine = await openEngine(fake.endpoint);
    const list = rejection(engine.listReferences());
    await asked.opened;
    await engine[Symbol.asyncDispose]();
    expect(await list).toMatchObject({ code: "engine-unreachable" });
    expect(await rejection(engine.listReferences())).toMatchObject({ message: "the engine has been disposed" });
  });
});

describe("a container", () => {
  const spec: ContainerSpec = {
    image: "registry:2",
    labels: { run: "1" },
    env: { A: "b=c" },
    port: 5000,
    files: { "/auth/htpasswd": "me:hash" },
  };
  const running = {
    State: { Running: true, ExitCode: 0 },
    NetworkSettings: { Ports: { "5000/tcp": [{ HostIp: "127.0.0.1", HostPort: "32768" }] } },
  };
  const routes = (changes: Record<string, Route> = {}): Record<string, Route> => ({
    "POST /containers/create": json({ Id: "c1" }, 201),
    "PUT /containers/c1/archive": json(""),
    "POST /containers/c1/start": json("", 204),
    "GET /containers/c1/json": json(running),
    "GET /containers/c1/logs": json(""),
    "POST /containers/c1/wait": (_request, response) => response.flushHeaders(), // it then sends nothing
    "DELETE /containers/c1": json("", 204),
    ...changes,
  });
  const life = [
    "POST /containers/create",
    "PUT /containers/c1/archive",
    "POST /containers/c1/start",
    "GET /containers/c1/json",
  ];

  test("gets its files before it starts; the engine reports its port", async () => {
    await using fake = await fakeEngine(routes());
    await using engine = await openEngine(fake.endpoint);
    const container = await engine.runContainer(spec);
    expect(container).toMatchObject({ id: "c1", port: 32768 });
    await container.remove();
    await container.exited;
    expect(fake.calls().slice(0, 4)).toEqual(life);
    const [create, archive] = fake.seen;
    expect(JSON.parse(create?.body ?? "")).toEqual({
      Image: "registry:2",
      Labels: { run: "1" },
      Env: ["A=b=c"],
      ExposedPorts: { "5000/tcp": {} },
      HostConfig: { PortBindings: { "5000/tcp": [{ HostIp: "127.0.0.1", HostPort: "" }] } },
    });
    expect(archive?.query.get("path")).toBe("/");
    expect(archive?.body).toMatch(/^auth\/htpasswd\0/);
    expect(archive?.body).toContain("me:hash");
    expect(fake.seen.find(({ method }) => method === "DELETE")?.query.toString()).toBe("force=true&v=true");
  });

  test("that is removed: nothing waits for an engine that does not report the exit", async () => {
    await using fake = await fakeEngine(routes());
    await using engine = await openEngine(fake.endpoint);
    const container = await engine.runContainer(spec);
    await container.remove();
    expect(await container.exited).toEqual({ status: -1 });
  });

  test("reports its exit status", async () => {
    await using fake = await fakeEngine(routes({ "POST /containers/c1/wait": json({ StatusCode: 3 }) }));
    await using engine = await openEngine(fake.endpoint);
    expect(await (await engine.runContainer(spec)).exited).toEqual({ status: 3 });
  });

  test("uses another port if one is in use", async () => {
    const answers = [500, 500, 204];
    await using fake = await fakeEngine(
      routes({
        "POST /containers/c1/start": (_request, response) =>
          answer(response, answers.shift() ?? 0, {
            message: "driver failed: Bind for 127.0.0.1:32768 failed: port is already allocated",
          }),
      }),
    );
    await using engine = await openEngine(fake.endpoint);
    const container = await engine.runContainer(spec);
    expect(container.port).toBe(32768);
    const [create, archive, start, inspect] = life;
    const attempt = [create, archive, start];
    expect(fake.calls().slice(0, 12)).toEqual([
      ...attempt,
      "DELETE /containers/c1",
      ...attempt,
      "DELETE /containers/c1",
      ...attempt,
      inspect,
    ]);
    await container.remove();
  });

  test("fails after three ports that are in use", async () => {
    await using fake = await fakeEngine(
      routes({
        "POST /containers/c1/start": json(
          { message: "listen tcp4 127.0.0.1:32768: bind: address already in use" },
          500,
        ),
      }),
    );
    await using engine = await openEngine(fake.endpoint);
    expect(await rejection(engine.runContainer(spec))).toMatchObject({
      name: "EngineError",
      message: expect.stringMatching(/3 ports were taken.*address already in use/),
    });
    expect(fake.calls().filter((call) => call.startsWith("DELETE"))).toHaveLength(3);
  });

  test("that stops at once causes an error with its output, and is removed", async () => {
    const frame = "\u0002\0\0\0\0\0\0\u0007no auth";
    await using fake = await fakeEngine(
      routes({
        "GET /containers/c1/json": json({ State: { Running: false, ExitCode: 2 }, NetworkSettings: { Ports: {} } }),
        "GET /containers/c1/logs": json(frame),
      }),
    );
    await using engine = await openEngine(fake.endpoint);
    expect(await rejection(engine.runContainer(spec))).toMatchObject({
      message: expect.stringMatching(/registry:2 stopped.* status 2.*\nno auth$/s),
    });
    expect(fake.calls().at(-1)).toBe("DELETE /containers/c1");
  });

  test.each(life.slice(0, 4))("an abort during %s leaves no container", async (call) => {
    const abort = new AbortController();
    const normal = routes()[call];
    await using fake = await fakeEngine(
      routes({
        [call]: (request, response) => {
          abort.abort(new Error("enough"));
          return normal?.(request, response);
        },
      }),
    );
    await using engine = await openEngine(fake.endpoint);
    expect(await rejection(engine.runContainer({ ...spec, signal: abort.signal }))).toMatchObject({
      message: "enough",
    });
    expect(fake.calls()).toEqual([...life.slice(0, life.indexOf(call) + 1), "DELETE /containers/c1"]);
  });

  test.each(["PUT /containers/c1/archive", "POST /containers/c1/start", "GET /containers/c1/json"])(
    "a failure of %s leaves no container",
    async (call) => {
      await using fake = await fakeEngine(routes({ [call]: json({ message: "no" }, 500) }));
      await using engine = await openEngine(fake.endpoint);
      expect(await rejection(engine.runContainer(spec))).toMatchObject({ message: "no", status: 500 });
      expect(fake.calls().at(-1)).toBe("DELETE /containers/c1");
    },
  );

  test("reports the first error, even if it cannot be removed", async () => {
    await using fake = await fakeEngine(
      routes({
        "POST /containers/c1/start": json({ message: "no cgroup" }, 500),
        "DELETE /containers/c1": (_request, response) => response.destroy(),
      }),
    );
    await using engine = await openEngine(fake.endpoint);
    expect(await rejection(engine.runContainer(spec))).toMatchObject({ name: "EngineError", message: "no cgroup" });
  });

  test.each([
    [404, "No such container: c1"],
    [409, "removal of container c1 is already in progress"],
  ])("can be removed twice: %i", async (status, message) => {
    await using fake = await fakeEngine({ "DELETE /containers/c1": json({ message }, status) });
    await using engine = await openEngine(fake.endpoint);
    await expect(engine.removeContainer("c1")).resolves.toBeUndefined();
  });

  test("is found by its label", async () => {
    await using fake = await fakeEngine({
      "GET /containers/json": json([{ Id: "c1", Labels: { run: "1" } }]),
    });
    await using engine = await openEngine(fake.endpoint);
    expect(await engine.findContainers("run")).toEqual([{ id: "c1", labels: { run: "1" }, isRunning: false }]);
    expect(fake.seen[0]?.query.get("filters")).toBe('{"label":["run"]}');
    expect(fake.seen[0]?.query.get("all")).toBe("true");
  });
});

describe("limits of a build", () => {
  const order = { ...PLAIN_ORDER, names: ["limited:v1"] };
  const built = '{"aux":{"ID":"sha256:built"}}\n';
  const engineWith = async (info: object) =>
    await fakeEngine({
      "GET /version": json({ Version: "1", Os: "linux", Arch: "amd64" }),
      "GET /info": json(info),
      "POST /build": json(built),
    });
  const options = {
    answers: {
      credentials: async () => undefined,
      secret: async () => undefined,
      agent: async () => await Promise.reject(new Error("none")),
    },
    onEvent: () => {},
    signal: new AbortController().signal,
  };

  test("use the classic builder, because BuildKit ignores them", async () => {
    await using fake = await engineWith({ MemoryLimit: true, CpuCfsQuota: true });
    await using engine = await openEngine(fake.endpoint);
    await engine.build(
      { ...order, memory: 64 * 1024 ** 2, cpus: 2 },
      memoryContext({ Dockerfile: "FROM scratch\n" }),
      options,
    );
    const query = Object.fromEntries(fake.seen.find(({ path }) => path === "/build")?.query ?? []);
    expect(query).toMatchObject({ memory: "67108864", memswap: "67108864", cpuperiod: "100000", cpuquota: "200000" });
    expect(query).not.toHaveProperty("version");
  });

  test.each([
    ["memory", { MemoryLimit: false, CpuCfsQuota: true }, { memory: 64 * 1024 ** 2 }],
    ["cpus", { MemoryLimit: true, CpuCfsQuota: false }, { cpus: 1 }],
  ])(
    "for %s are rejected before the build if the engine's kernel does not support them",
    async (what, info, limits) => {
      await using fake = await engineWith(info);
      await using engine = await openEngine(fake.endpoint);
      const error = await rejection(engine.build({ ...order, ...limits }, memoryContext({}), options));
      expect(error).toMatchObject({ code: "usage", message: `the engine cannot limit the ${what} of a build` });
      expect(fake.calls()).not.toContain("POST /build");
    },
  );
});
