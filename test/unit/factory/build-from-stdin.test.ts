import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { buildFromStdin } from "../../../src/factory/build-from-stdin.ts";
import { parseNamePattern } from "../../../src/factory/forced/name-patterns.ts";
import type { FactoryRequest } from "../../../src/factory/factory-request.ts";
import type { BuildContext } from "../../../src/build-context/build-context.ts";
import type { BuildOptions, BuildOrder } from "../../../src/engine/engine-builder.ts";
import { EngineError } from "../../../src/engine/engine-error.ts";
import { parseReference } from "../../../src/image/reference.ts";
import { Failure } from "../../../src/output/errors.ts";
import type { TransferEvent } from "../../../src/output/events.ts";
import { outputTo } from "../../../src/output/output.ts";
import { deferred } from "../../../src/streams/deferred.ts";
import { makeTar, type TestEntry } from "../image/tar/make-tar.ts";
import { contentOf } from "./fake-context.ts";

let folder: string;
beforeEach(() => (folder = mkdtempSync(join(tmpdir(), "dos-factory-"))));
afterEach(() => rmSync(folder, { recursive: true }));

/** A run with its output, and the calls that it makes to the engine. */
class Run {
  readonly events: TransferEvent[] = [];
  readonly calls: string[] = [];
  readonly stop = new AbortController();
  readonly gone = new AbortController();
  stdout = "";
  order: BuildOrder | undefined;
  /** The engine's behaviour in a build. By default, the build succeeds. */
  onBuild: (options: BuildOptions, context: BuildContext) => Promise<void> = async () => {};
  /** The image names in the engine */
  readonly images = new Map<string, string>();
  pushFails = false;

  async build(archive: Buffer | AsyncIterable<Buffer>, request: Partial<FactoryRequest> = {}): Promise<unknown> {
    const { stop, gone } = this;
    return await buildFromStdin(
      {
        name: parseReference("team/app:v2"),
        order: { buildArgs: {}, labels: {}, noCache: false, pull: false },
        base: "base:v1",
        strip: 0,
        limits: {},
        isLatest: false,
        maxTime: 60_000,
        endpoint: undefined,
        printsReport: true,
        ...request,
      },
      {
        engine: this.#engine() as never,
        archive: Buffer.isBuffer(archive) ? inOne(archive) : archive,
        answers: {
          credentials: async () => undefined,
          secret: async () => undefined,
          agent: async () => null as never,
        },
        client: { signal: gone.signal, [Symbol.dispose]: () => {} },
        print: (text) => (this.stdout += text),
      },
      { output: outputTo((event) => this.events.push(event)), signal: stop.signal, env: { XDG_CACHE_HOME: folder } },
    );
  }

  #engine(): object {
    const { calls, images } = this;
    return {
      build: async (order: BuildOrder, context: BuildContext, options: BuildOptions) => {
        this.order = order;
        calls.push("build");
        await this.onBuild(options, context);
        for (const name of order.names) images.set(name, "sha256:new");
        return { id: "sha256:new" };
      },
      publish: async (name: string) => {
        calls.push(`publish ${name}`);
        if (this.pushFails) throw new Failure("push-refused", "denied");
        return { digest: "sha256:digest" };
      },
      pruneBuildCache: async (keep: number) => void calls.push(`prune to ${keep}`),
      inspectImage: async (name: string) => {
        const id = name.startsWith("sha256:") ? name : images.get(name);
        const names = [...images].flatMap(([one, its]) => (its === id ? [one] : []));
        return id && { id, names, size: 1234, lastTagged: 0 };
      },
      listTagged: async () => [...images].map(([name, id]) => ({ name, id, created: 0 })),
      usedImages: async () => new Set(),
      layersSize: async () => 0,
      removeReference: async (name: string) => {
        calls.push(`remove ${name}`);
        if (name === "sha256:used") throw new EngineError("a container uses it", 409);
        images.delete(name);
      },
    };
  }

  /** The spool folders, which contain the context. */
  get spools(): string[] {
    return readdirSync(join(folder, "docker-over-ssh")).filter((name) => name.startsWith("spool-"));
  }
}

async function* inOne(archive: Buffer): AsyncGenerator<Buffer> {
  yield archive;
}

const tree = (...entries: TestEntry[]): Promise<Buffer> => makeTar(entries);
const dockerfile = await tree({ name: "Dockerfile", content: "FROM scratch\n" });

describe("an archive", () => {
  test("with a Dockerfile is built unchanged, and the image is reported", async () => {
    const run = new Run();
    run.onBuild = async (options, context) => {
      expect(await contentOf(context, "Dockerfile")).toBe("FROM scratch\n");
      options.onEvent({ type: "build-text", text: "Step 1/1" });
    };
    await run.build(gzipSync(dockerfile));
    expect(run.order).toMatchObject({
      names: ["team/app:v2"],
      dockerfile: "Dockerfile",
      isArchive: true,
      secrets: [],
      agents: [],
    });
    expect(run.stdout).toMatch(
      /^name: docker\.io\/team\/app:v2\nimage ID: sha256:new\nsize: 1234 \(1\.2 kB\)\nseconds: \d+\.\d\n$/,
    );
    expect(run.events).toContainEqual({ type: "build-text", text: "Step 1/1" });
    expect(run.events.at(-1)).toMatchObject({ type: "built", names: ["docker.io/team/app:v2"], id: "sha256:new" });
    expect(run.spools).toEqual([]);
  });

  test("with scripts is built from the base", async () => {
    const run = new Run();
    let text = "";
    run.onBuild = async (_, context) => void (text = await contentOf(context, "Dockerfile"));
    await run.build(
      await tree({ name: "x/build.sh", content: "#!/bin/sh" }, { name: "x/run.sh", content: "#!/bin/sh" }),
      {
        strip: 1,
      },
    );
    expect(text).toMatch(/^FROM base:v1\n/);
  });

  test("that is too large is refused with the option that raises the limit", async () => {
    await expect(new Run().build(gzipSync(dockerfile), { limits: { bytes: 1000 } })).rejects.toMatchObject({
      code: "context-invalid",
      hint: "Exclude files that the build does not need, or raise the limit with --max-size on the machine that builds.",
    });
  });

  test("that arrives too slowly is refused with the option that sets another limit", async () => {
    async function* stalling(): AsyncGenerator<Buffer> {
      yield await new Promise<Buffer>(() => {});
    }
    await expect(new Run().build(stalling(), { timeout: 10 })).rejects.toMatchObject({
      code: "context-invalid",
      hint: "--timeout on the machine that builds sets another limit.",
    });
  });

  test("with --json is reported only as an event", async () => {
    const run = new Run();
    await run.build(dockerfile, { printsReport: false });
    expect(run.stdout).toBe("");
    expect(run.events.at(-1)).toMatchObject({ type: "built" });
  });

  test.each<[string, Promise<Buffer> | Buffer, string]>([
    ["is not an archive", Buffer.from("hello"), "context-invalid"],
    ["has nothing to build", tree({ name: "README", content: "x" }), "not-buildable"],
  ])("that %s is rejected before anything is built", async (_, archive, code) => {
    const run = new Run();
    await expect(run.build(await archive)).rejects.toMatchObject({ code });
    expect(run.calls).toEqual([]);
    expect(run.spools).toEqual([]);
  });
});

describe("after the build", () => {
  test("publishes the image under its name in the registry, and reports the digest", async () => {
    const run = new Run();
    await run.build(dockerfile, { published: parseReference("registry.example.com/team/app:v2") });
    expect(run.order?.names).toEqual(["team/app:v2", "registry.example.com/team/app:v2"]);
    expect(run.calls).toEqual(["build", "publish registry.example.com/team/app:v2"]);
    expect(run.stdout).toContain("name: registry.example.com/team/app:v2\n");
    expect(run.stdout).toContain("digest: sha256:digest\n");
  });

  test("fails if the registry rejects the image, and reports nothing", async () => {
    const run = new Run();
    run.pushFails = true;
    const published = parseReference("registry.example.com/team/app:v2");
    await expect(run.build(dockerfile, { published })).rejects.toMatchObject({ code: "push-refused" });
    expect(run.stdout).toBe("");
  });

  test("removes the image that has lost its name, old images and the cache", async () => {
    const run = new Run();
    run.images.set("team/app:v2", "sha256:before");
    run.images.set("team/app:v1", "sha256:old");
    await run.build(dockerfile, { keep: 1, cacheLimit: 1000 });
    expect(run.calls).toEqual(["build", "remove sha256:before", "remove team/app:v1", "prune to 1000"]);
    expect(run.stdout).toContain("removed: team/app:v1\n");
  });

  test("--keep of a key removes only names that the key may build", async () => {
    const run = new Run();
    run.images.set("team/app:prod", "sha256:prod");
    run.images.set("team/app:v1", "sha256:old");
    await run.build(dockerfile, { keep: 1, allow: [parseNamePattern("team/app:v*")] });
    expect(run.calls).toEqual(["build", "remove team/app:v1"]);
  });

  test("does not remove an image that a container uses", async () => {
    const run = new Run();
    run.images.set("team/app:v2", "sha256:used");
    await run.build(dockerfile);
    expect(run.calls).toEqual(["build", "remove sha256:used"]);
    expect(run.events.filter(({ type }) => type === "warning")).toEqual([]);
  });
});

/** A build that runs until it is aborted or released. */
function lasting(run: Run): { begun: Promise<void>; release: () => void } {
  const begun = deferred<void>();
  const released = deferred<void>();
  run.onBuild = async ({ signal }) => {
    begun.resolve();
    await new Promise<void>((resolve, reject) => {
      signal.addEventListener("abort", () => reject(signal.reason as Error));
      void released.promise.then(resolve);
    });
  };
  return { begun: begun.promise, release: () => released.resolve() };
}

describe("the queue", () => {
  test("builds of the same name wait for each other, and report it", async () => {
    const [first, second] = [new Run(), new Run()];
    const { begun, release } = lasting(first);
    const building = first.build(dockerfile);
    await begun;
    const waiting = second.build(dockerfile);
    await expect
      .poll(() => second.events, { timeout: 20_000 })
      .toContainEqual({
        type: "note",
        code: "build-waiting",
        ahead: 1,
        image: "docker.io/team/app:v2",
      });
    expect(second.calls).toEqual([]);
    release();
    await building;
    await waiting;
  });

  test("builds of different names do not wait, unless --jobs limits them", async () => {
    const [first, second, third] = [new Run(), new Run(), new Run()];
    const { begun, release } = lasting(first);
    const building = first.build(dockerfile, { jobs: 1 });
    await begun;
    await second.build(dockerfile, { name: parseReference("team/other") });
    const waiting = third.build(dockerfile, { name: parseReference("team/third"), jobs: 1 });
    await expect
      .poll(() => third.events, { timeout: 20_000 })
      .toContainEqual({ type: "note", code: "build-waiting", ahead: 1 });
    release();
    await building;
    await waiting;
  });

  test("unpacks at most eight archives at a time, and does not read the next one before", async () => {
    const runs = Array.from({ length: 8 }, () => new Run());
    const builds = runs.map((run, index) => {
      const { begun, release } = lasting(run);
      const name = parseReference(`team/app${index}:v1`);
      return { begun, release, done: run.build(dockerfile, { name }) };
    });
    await Promise.all(builds.map(({ begun }) => begun));
    const ninth = new Run();
    const waits = ninth.build(dockerfile, { name: parseReference("team/ninth:v1") });
    await expect
      .poll(() => ninth.events, { timeout: 20_000 })
      .toContainEqual({ type: "note", code: "build-waiting", ahead: 8 });
    expect(ninth.spools).toHaveLength(8);
    expect(ninth.calls).toEqual([]);
    builds[0]?.release();
    await waits;
    expect(ninth.calls).toContain("build");
    for (const { release } of builds) release();
    await Promise.all(builds.map(({ done }) => done));
  });

  test("--latest ends a running build", async () => {
    const [first, second] = [new Run(), new Run()];
    const { begun } = lasting(first);
    const building = first.build(dockerfile);
    building.catch(() => {});
    await begun;
    await second.build(dockerfile, { isLatest: true });
    await expect(building).rejects.toMatchObject({ code: "refused" });
    expect(second.calls).toEqual(["build"]);
  });
});

describe("ends a build", () => {
  test("when its client disconnects", async () => {
    const run = new Run();
    const { begun } = lasting(run);
    const building = run.build(dockerfile);
    await begun;
    run.gone.abort(new Failure("link-lost", "gone"));
    await expect(building).rejects.toMatchObject({ code: "link-lost" });
    expect(run.spools).toEqual([]);
  });

  test("when its time limit is reached", async () => {
    const run = new Run();
    lasting(run);
    await expect(run.build(dockerfile, { maxTime: 50 })).rejects.toMatchObject({
      code: "build-failed",
      message: "the build has taken longer than 0.1 s",
    });
  });

  test("that waits, when its client disconnects", async () => {
    const [first, second] = [new Run(), new Run()];
    const { begun, release } = lasting(first);
    const building = first.build(dockerfile);
    await begun;
    const waiting = second.build(dockerfile);
    await expect.poll(() => second.events.some((event) => event.type === "note"), { timeout: 20_000 }).toBe(true);
    second.gone.abort(new Failure("link-lost", "gone"));
    await expect(waiting).rejects.toMatchObject({ code: "link-lost" });
    release();
    await building;
  });
});
