import { createHash } from "node:crypto";
import { PLAIN_ORDER } from "../fixtures/build-order.ts";
import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { BuildContext } from "../../src/build-context/build-context.ts";
import { parseHost } from "../../src/engine/connect/endpoint.ts";
import type {
  BuildEvent,
  BuildOptions,
  BuildOrder,
  BuiltImage,
  CheckedBuild,
} from "../../src/engine/engine-builder.ts";
import { openEngine } from "../../src/engine/open/open-engine.ts";
import { Failure } from "../../src/output/errors.ts";
import { buildImage } from "../testbed/build-image.ts";
import type { Engine } from "../testbed/engine.ts";
import { startTestbed } from "../testbed/start.ts";
import type { Testbed } from "../testbed/testbed.ts";
import { memoryContext, type MemoryFiles } from "../unit/engine/build/memory-context.ts";
import { bed, why } from "./bed.ts";
import { startRegistry } from "./registry.ts";

const own: Testbed[] = [];
/** Docker 20.10 is in the test bed that all files share. */
const engines = {
  "20.10": () => bed.near,
  "26.1": () => own[0]?.near,
  "28.5": () => own[0]?.far,
  "28.5-containerd": () => own[1]?.near,
  podman: () => own[1]?.far,
};
type Kind = keyof typeof engines;
const kinds = Object.keys(engines) as Kind[];
const buildKits = kinds.filter((kind) => kind !== "podman");
const BASE = "docker.io/library/build-engine-base:v1";
/** Credentials of the user for every registry. */
const USER = { username: "build-user", password: "build-password-4711" };

function engineOf(kind: Kind): Engine {
  const engine = engines[kind]();
  if (engine === undefined) throw new Error(`there is no ${kind}`);
  return engine;
}

beforeAll(async () => {
  if (why) return;
  own.push(await startTestbed({ near: { kind: "26.1" }, far: { kind: "28.5" } }));
  own.push(await startTestbed({ near: { kind: "28.5-containerd" }, far: { kind: "podman" } }));
  for (const kind of kinds) await buildImage(engineOf(kind), "build-engine-base:v1");
});

afterAll(async () => {
  for (const one of own) await one[Symbol.asyncDispose]();
});

const ORDER: BuildOrder = { ...PLAIN_ORDER, contextKey: "build-engine" };

interface Built {
  image?: BuiltImage;
  failure?: Failure;
  events: BuildEvent[];
  /** The output of all steps and builders */
  log: string;
  credentialRequests: string[];
}

async function build(
  kind: Kind,
  files: MemoryFiles | BuildContext,
  order: Partial<BuildOrder> = {},
  options: Partial<BuildOptions> = {},
): Promise<Built> {
  await using engine = await openEngine(parseHost(engineOf(kind).host, "test"));
  const built: Built = { events: [], log: "", credentialRequests: [] };
  const whole: BuildOrder = { ...ORDER, ...order };
  try {
    built.image = await engine.build(whole, "entries" in files ? (files as BuildContext) : memoryContext(files), {
      answers: {
        credentials: async (host) => {
          built.credentialRequests.push(host);
          return USER;
        },
        secret: async (id) => (id === "token" ? Buffer.from("secret-of-the-user") : undefined),
        agent: async () => await Promise.reject(new Error("no agent")),
      },
      signal: new AbortController().signal,
      ...options,
      onEvent(event) {
        built.events.push(event);
        if (event.type === "step-log" || event.type === "build-text") built.log += event.text;
        options.onEvent?.(event);
      },
    });
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    built.failure = error;
  }
  return built;
}

describe.skipIf(why)(`an engine builds ${why ?? ""}`, () => {
  test.each(kinds)("%s: an image of the context, with names, labels, arguments and a target", async (kind) => {
    const files = {
      "sub/Dockerfile": `FROM ${BASE} AS wanted
ARG GREETING
COPY data /data
RUN echo "said $GREETING" && chmod 755 /data/run
CMD ["/data/run"]
FROM wanted AS unwanted
RUN exit 9
`,
      "data/run": "#!/bin/sh\ncat /data/link\n",
      "data/ä b.txt": "from the context",
      "data/link": { linkTo: "ä b.txt" },
      unused: "x",
    };
    const order = { names: ["build-engine:v1", "build-engine:v2"], dockerfile: "sub/Dockerfile", target: "wanted" };
    const { image, log } = await build(kind, files, {
      ...order,
      buildArgs: { GREETING: "hello" },
      labels: { of: "test" },
    });
    expect(log).toContain("said hello");
    const engine = engineOf(kind);
    expect((await engine.docker("run", "--rm", "build-engine:v2")).stdout).toBe("from the context");
    const inspect = ["inspect", "--format", "{{.Id}} {{index .Config.Labels `of`}}", "build-engine:v1"];
    expect((await engine.docker(...inspect)).stdout).toBe(`${image?.id} test`);
  });

  test.each([...kinds.map((kind) => [kind, undefined] as const), ["20.10", "classic"], ["28.5", "classic"]] as const)(
    "%s %s: a step that fails is named, with its exit code and its last lines",
    async (kind, builder) => {
      const files = { Dockerfile: `FROM ${BASE}\nRUN echo first\nRUN echo last words; exit 3\n` };
      const { failure, image } = await build(kind, files, { noCache: true }, { builder });
      expect(image).toBeUndefined();
      expect(failure?.code).toBe("build-failed");
      expect(failure?.message).toMatch(/^the build failed at \[.*3\/3\] RUN echo last words; exit 3.*: exit code 3$/);
      expect(failure?.hint).toContain("last words");
      expect(failure?.hint).not.toContain("first");
    },
  );

  test.each([
    ...buildKits.map((kind) => [kind, undefined] as const),
    ["20.10", "classic"],
    ["28.5", "classic"],
  ] as const)("%s %s: an abort ends the step, and nothing stays", async (kind, builder) => {
    const engine = engineOf(kind);
    const seconds = String(70_000 + kinds.indexOf(kind) * 10 + (builder === undefined ? 0 : 1));
    const files = { Dockerfile: `FROM ${BASE}\nRUN echo begin; sleep ${seconds}\n` };
    const before = (await engine.docker("ps", "--all", "--quiet")).stdout;
    const stop = new AbortController();
    let log = "";
    const onEvent = (event: BuildEvent): void => {
      if (event.type === "step-log" || event.type === "build-text") log += event.text;
      if (/^begin$/m.test(log)) stop.abort(new Error("stopped by the test"));
    };
    const building = build(kind, files, { noCache: true }, { builder, signal: stop.signal, onEvent });
    await expect(building).rejects.toThrow("stopped by the test");
    const running = async (): Promise<string> =>
      (await execa("pgrep", ["--full", `^sleep ${seconds}`], { reject: false })).stdout;
    await expect.poll(running).toBe("");
    await expect.poll(async () => (await engine.docker("ps", "--all", "--quiet")).stdout).toBe(before);
  });

  // Podman 4.3 lets the step run until it ends by itself.
  test("podman: an abort ends the request at once, and the build in Podman after the current step", async () => {
    const engine = engineOf("podman");
    const files = { Dockerfile: `FROM ${BASE}\nRUN echo begin; sleep 70099\nRUN echo never\n` };
    const containers = async (): Promise<string> =>
      (await engine.podman("ps", "--all", "--external", "--quiet")).stdout;
    const before = await containers();
    const stop = new AbortController();
    let log = "";
    const onEvent = (event: BuildEvent): void => {
      if (event.type === "build-text") log += event.text;
      if (/^begin$/m.test(log)) stop.abort(new Error("stopped by the test"));
    };
    await expect(build("podman", files, {}, { signal: stop.signal, onEvent })).rejects.toThrow("stopped by the test");
    const { stdout } = await execa("pgrep", ["--full", "^sleep 70099"]);
    process.kill(Number(stdout), "SIGKILL");
    await expect.poll(containers, { timeout: 10_000 }).toBe(before);
    expect(log).not.toMatch(/^never$/m);
  });

  test.each(buildKits)("%s: a second build reads only the changed file, and a third one reads none", async (kind) => {
    const files: MemoryFiles = { Dockerfile: `FROM ${BASE}\nCOPY . /app\n` };
    for (let n = 0; n < 200; n += 1) files[`folder-${n % 7}/file-${n}`] = `content ${n}`;
    const asksFor = async (): Promise<string[]> => {
      const reads: string[] = [];
      const { image } = await build(kind, memoryContext(files, reads), { contextKey: `changed-${kind}` });
      expect(image?.served).toBeGreaterThanOrEqual(0);
      return reads.filter((name) => name !== "Dockerfile"); // some versions read it each time
    };
    expect(await asksFor()).toHaveLength(200);
    files["folder-3/file-10"] = { text: "changed", mtime: 2_000_000_000 };
    expect(await asksFor()).toEqual(["folder-3/file-10"]);
    expect(await asksFor()).toEqual([]);
  });

  test.each(buildKits)("%s: a step can read a secret, which no layer and no event contains", async (kind) => {
    const mount = "--mount=type=secret,id=token";
    const sum = createHash("md5").update("secret-of-the-user").digest("hex");
    const files = { Dockerfile: `FROM ${BASE}\nRUN ${mount} md5sum /run/secrets/token; test ! -s /token\n` };
    const { image, events, log } = await build(kind, files, { secrets: ["token"], noCache: true });
    expect(log).toContain(sum);
    expect(image?.id).toMatch(/^sha256:/);
    expect(JSON.stringify(events)).not.toContain("secret-of-the-user");
    const missing = { Dockerfile: `FROM ${BASE}\nRUN ${mount},required=true cat /run/secrets/token\n` };
    expect((await build(kind, missing, { noCache: true })).failure?.code).toBe("build-failed");
  });

  test.each(kinds)("%s: without a network, a step has only the loopback device", async (kind) => {
    const interfaces = "sed -n 's/^ *\\([^ :]*\\):.*/interface \\1/p' /proc/net/dev";
    const files = { Dockerfile: `FROM ${BASE}\nRUN ${interfaces}\n` };
    const { log, failure } = await build(kind, files, { network: "none", noCache: true });
    expect(failure).toBeUndefined();
    expect(log.match(/^interface .*/gm)).toEqual(["interface lo"]);
  });

  test.each([
    ["podman", undefined, "buildah"],
    ["28.5", "classic", "classic builder"],
  ] as const)("%s %s: secrets are refused before anything is sent", async (kind, builder, named) => {
    const { failure } = await build(kind, { Dockerfile: "FROM scratch\n" }, { secrets: ["token"] }, { builder });
    expect(failure?.code).toBe("usage");
    expect(failure?.message).toContain(named);
  });

  test.each(kinds)("%s: rejects a context without the Dockerfile", async (kind) => {
    const { failure } = await build(kind, { file: "x" });
    expect(failure?.code).toBe("not-buildable");
  });

  test.each([
    ["20.10", undefined],
    ["20.10", "classic"],
    ["26.1", undefined],
    ["28.5-containerd", undefined],
  ] as const)(
    "%s %s: a base is looked up with the user's credentials, which no message shows",
    async (kind, builder) => {
      await using registry = await refusingRegistry();
      const base = `${registry.host}/base:v1`;
      const { failure, credentialRequests, events } = await build(
        kind,
        { Dockerfile: `FROM ${base}\n` },
        {},
        { builder },
      );
      expect(failure?.code).toBe("build-failed");
      expect(failure?.message).toContain(`the base ${base} cannot be pulled from ${registry.host}`);
      expect(failure?.hint).toContain(`docker login ${registry.host}`);
      expect(credentialRequests).toContain(registry.host);
      expect(registry.seen).toContainEqual(USER);
      expect(JSON.stringify([failure?.message, failure?.hint, events])).not.toContain(USER.password);
    },
  );
});

describe.skipIf(why)(`publishes an image ${why ?? ""}`, () => {
  test("to a registry, and returns its digest; fails if the registry rejects the image", async () => {
    await using registry = await startRegistry(bed.near);
    await using refusing = await refusingRegistry();
    await using engine = await openEngine(parseHost(bed.near.host, "test"));
    const options = { answers: { credentials: async () => USER }, signal: new AbortController().signal };
    const [good, bad] = [registry, refusing].map(({ host }) => `${host}/published:v1`) as [string, string];
    for (const name of [good, bad]) await engine.tagImage("build-engine-base:v1", name);
    expect((await engine.publish(good, options)).digest).toMatch(/^sha256:/);
    const failure = (await engine.publish(bad, options).catch((error: unknown) => error)) as Failure;
    expect(failure.code).toBe("push-refused");
    expect(failure.hint).toContain(`docker login ${refusing.host}`);
    expect(JSON.stringify([failure.message, failure.expected, failure.hint])).not.toContain(USER.password);
    for (const name of [good, bad]) await engine.removeReference(name);
  });
});

describe.skipIf(why)(`the builder's cache ${why ?? ""}`, () => {
  test.each(["20.10", "28.5", "28.5-containerd"] as const)(
    "%s: is pruned to a size; dangling images with a label go",
    async (kind) => {
      await using engine = await openEngine(parseHost(engineOf(kind).host, "test"));
      for (const text of ["one", "two"]) {
        const files = { Dockerfile: `FROM ${BASE}\nRUN head -c 5000000 /dev/urandom >/${text}\n` };
        await build(kind, files, { names: ["build-engine-pruned:v1"], labels: { pruned: kind } });
      }
      const before = await engine.listImageIds();
      await engine.removeUntagged(`pruned=${kind}`);
      await engine.removeReference("build-engine-pruned:v1");
      expect(await engine.listImageIds()).not.toEqual(before);
      expect(await engine.pruneBuildCache(1_000_000_000)).toBe(0);
      expect(await engine.pruneBuildCache(0)).toBeGreaterThan(0);
    },
  );
});

/** A registry that requires Basic credentials and rejects all of them. */
async function refusingRegistry(): Promise<{ host: string; seen: (typeof USER)[] } & AsyncDisposable> {
  const seen: (typeof USER)[] = [];
  const server: Server = createServer((request, response) => {
    const [, encoded = ""] = /^Basic (.*)$/.exec(request.headers.authorization ?? "") ?? [];
    const [username = "", password = ""] = Buffer.from(encoded, "base64").toString().split(":");
    if (username !== "") seen.push({ username, password });
    response.writeHead(401, { "www-authenticate": 'Basic realm="test"', "content-type": "application/json" });
    response.end('{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}');
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    host: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    seen,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

const checkers = ["28.5", "28.5-containerd"] as const;

async function check(kind: Kind, files: MemoryFiles, order: Partial<BuildOrder> = {}): Promise<CheckedBuild> {
  await using engine = await openEngine(parseHost(engineOf(kind).host, "test"));
  return await engine.check({ ...ORDER, contextKey: "build-engine-check", ...order }, memoryContext(files), {
    answers: {
      credentials: async () => await Promise.resolve(undefined),
      secret: async () => await Promise.resolve(undefined),
      agent: async () => await Promise.reject(new Error("no agent")),
    },
    signal: new AbortController().signal,
  });
}

describe.skipIf(why)("an engine checks a Dockerfile", () => {
  test.each(checkers)("%s: reports warnings, or none; runs no step", async (kind) => {
    const images = async (): Promise<string[]> =>
      (await engineOf(kind).docker("images", "--all", "--quiet")).stdout.split("\n").toSorted();
    const before = await images();
    const bad = `FROM ${BASE} as wanted\nMAINTAINER x\nRUN exit 1\nCOPY none /\n`;
    const { text, count, error } = await check(kind, { "sub/bad": bad }, { dockerfile: "sub/bad" });
    expect({ count, error }).toEqual({ count: 2, error: undefined });
    expect(text).toMatch(
      /^WARNING: FromAsCasing .*\n.*\nsub\/bad:1\n[^]*WARNING: MaintainerDeprecated .*\n.*\nsub\/bad:2\n/,
    );
    expect(text).toContain(">>> MAINTAINER x");
    const good = { Dockerfile: `FROM ${BASE} AS wanted\nRUN exit 1\n`, ".dockerignore": "x\n" };
    expect(await check(kind, good)).toEqual({ text: "", count: 0 });
    expect(await images()).toEqual(before);
  });

  test.each(checkers)("%s: uses the build arguments, target and platform of the order", async (kind) => {
    const files = { Dockerfile: "ARG NAME=localhost:1/one\nFROM $NAME AS one\nFROM localhost:1/two AS two\n" };
    const buildArgs = { NAME: BASE };
    expect(await check(kind, files, { buildArgs, target: "one" })).toEqual({ text: "", count: 0 });
    expect((await check(kind, files, { target: "one" })).error).toContain("localhost:1/one: ");
    expect((await check(kind, files, { buildArgs })).error).toContain("localhost:1/two: ");
    const platform = { os: "linux", architecture: "amd64" };
    const named = { Dockerfile: `FROM --platform=linux/amd64 ${BASE}\n` };
    expect((await check(kind, named, { platform })).text).toContain("FromPlatformFlagConstDisallowed");
  });

  test("28.5: an unknown instruction ends the check with an error; a missing Dockerfile has its own error code", async () => {
    const { error } = await check("28.5", { Dockerfile: `FROM ${BASE}\nFOO x\n` });
    expect(error).toContain("line 2: unknown instruction: FOO");
    await expect(check("28.5", { f: "x" })).rejects.toMatchObject({ code: "not-buildable" });
  });

  test.each([
    ["20.10", /Docker 20\.10\..* does not check Dockerfiles$/],
    ["26.1", /Docker 26\.1\..* does not check Dockerfiles$/],
    ["podman", /Podman .* does not check Dockerfiles$/],
  ] as const)("%s: it is refused", async (kind, message) => {
    await expect(check(kind, { Dockerfile: `FROM ${BASE}\nRUN exit 1\n` })).rejects.toMatchObject({
      code: "usage",
      message: expect.stringMatching(message) as string,
      expected: "Docker 27 or later, which builds with BuildKit",
    });
  });
});
