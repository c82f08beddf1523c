import { PLAIN_ORDER } from "../../fixtures/build-order.ts";
import { randomBytes } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { build, check, type FinishedBuild } from "../../../src/build.ts";
import { buildWithEngine } from "../../../src/build-with-engine.ts";
import type { BuildContext } from "../../../src/build-context/build-context.ts";
import { openContext } from "../../../src/build/open-context.ts";
import { BUILDS } from "../../../src/conversation/features.ts";
import type { BuildEvent, BuildOptions, BuildOrder } from "../../../src/engine/engine-builder.ts";
import type { Engine } from "../../../src/engine/engine.ts";
import { parseReference } from "../../../src/image/reference.ts";
import { Failure } from "../../../src/output/errors.ts";
import type { TransferEvent } from "../../../src/output/events.ts";
import { outputTo } from "../../../src/output/output.ts";
import type { BuildRequest } from "../../../src/request.ts";
import { runBothSides } from "../../../src/stdio-tunnel/in-process.ts";
import type { Connect, Context } from "../../../src/transfer.ts";
import { trafficBy } from "../../../src/traffic.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "dos-build-"));
  writeFileSync(join(folder, "Dockerfile"), "FROM scratch\nCOPY . /\n");
  writeFileSync(join(folder, "large"), "x".repeat(100_000));
  writeFileSync(join(folder, "version"), "1\n");
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const ID = `sha256:${"1".repeat(64)}`;

const order: BuildOrder = { ...PLAIN_ORDER, names: ["app:v1"] };
const IMAGE = { kind: "image", push: false, isBroughtBack: false } as const;
const CHECK = { goal: { kind: "check" } } as const;

/** The build that a fake engine has received. */
interface ReceivedBuild {
  order: BuildOrder;
  files: Record<string, string>;
}

/** The images that were requested from the fake engine */
const inspected: string[] = [];

/** An engine whose builds run `work`, and whose image has no content. */
function fakeEngine(builds: ReceivedBuild[], work: (options: BuildOptions) => Promise<void>): Engine {
  const engine: Partial<Engine> = {
    builder: async () => await Promise.resolve("buildkit"),
    info: async () =>
      await Promise.resolve({
        version: "28.5.2",
        apiVersion: "1.51",
        store: "containerd",
        platform: { os: "linux", architecture: "amd64" },
      }),
    async build(given, context, options) {
      builds.push({ order: given, files: await contentsOf(context) });
      await work(options);
      return { id: ID };
    },
    async check(given, context) {
      builds.push({ order: given, files: await contentsOf(context) });
      return { text: "WARNING: x", count: 1 };
    },
    publish: async (name) =>
      name.startsWith("refused")
        ? await Promise.reject(new Failure("push-refused", `the registry does not take ${name}`))
        : await Promise.resolve({ digest: `sha256:${"2".repeat(64)}` }),
    inspectImage: async (image) => {
      inspected.push(image);
      return await Promise.resolve({ id: ID, diffIds: [], platform: { os: "linux", architecture: "amd64" }, size: 42 });
    },
  };
  return engine as Engine;
}

async function contentsOf(context: BuildContext | undefined): Promise<Record<string, string>> {
  const files: Record<string, string> = {};
  for (const entry of context?.entries ?? []) {
    if (entry.kind !== "file") continue;
    const chunks: Uint8Array[] = [];
    for await (const chunk of context?.read(entry) ?? []) chunks.push(chunk);
    files[entry.path] = Buffer.concat(chunks).toString("utf8");
  }
  return files;
}

interface Run<T> {
  finished: T;
  builds: ReceivedBuild[];
  events: BuildEvent[];
  output: TransferEvent[];
}

type Program = "installed" | "engine";
type Initiator<T> = (
  request: BuildRequest,
  context: Context,
  connect: Connect,
  observer: { onEvent: (event: BuildEvent) => void; onBuilt: () => void },
) => Promise<T>;

/** Builds the folder with both sides in this process, over a tunnel unless the remote side is an engine alone. */
async function run(
  task: Partial<BuildRequest["build"]> = {},
  work: (options: BuildOptions) => Promise<void> = async () => {},
  program: Program = "installed",
  events: BuildEvent[] = [],
): Promise<Run<FinishedBuild>> {
  return await runInitiator(build, { task, work, program, events });
}

interface InitiatorOptions {
  task?: Partial<BuildRequest["build"]>;
  work?: (options: BuildOptions) => Promise<void>;
  program?: Program;
  events?: BuildEvent[];
  dockerfile?: string;
}

async function runInitiator<T>(initiator: Initiator<T>, options: InitiatorOptions): Promise<Run<T>> {
  const { task = {}, work = async () => {}, program = "installed", events = [], dockerfile = "Dockerfile" } = options;
  const [builds, output]: [ReceivedBuild[], TransferEvent[]] = [[], []];
  const signal = new AbortController().signal;
  const context: Context = {
    output: outputTo((event) => output.push(event)),
    signal,
    env: { HOME: folder, XDG_CACHE_HOME: join(folder, "cache") },
  };
  writeFileSync(join(folder, ".dockerignore"), "cache\n");
  const opened = openContext({ kind: "folder", path: folder, gitignore: true }, dockerfile, context);
  opened.catch(() => {});
  const request: BuildRequest = {
    role: "receiver",
    connection: { kind: "command", words: ["far"] },
    isRenamed: false,
    target: { kind: "oci", given: "oci:out", path: join(folder, "out") },
    name: parseReference("app:v1"),
    image: { given: "app:v1", reference: parseReference("app:v1") },
    build: { order, opened, secrets: [], agents: [], goal: IMAGE, ...task },
  };
  const connect: Connect = async (use) => {
    let result: { value: Awaited<ReturnType<typeof use>> } | undefined;
    await runBothSides(
      {
        async receiver(tunnel, stop) {
          result = { value: await use(tunnel, stop, trafficBy(program, tunnel)) };
        },
        async sender(tunnel, stop) {
          const handedOver = program === "engine" ? await opened : undefined;
          const far = { ...context, signal: stop };
          await buildWithEngine(tunnel, fakeEngine(builds, work), { connection: { kind: "spawned" } }, far, handedOver);
        },
      },
      { tool: "1.2.3", features: [BUILDS], signal },
    );
    if (result === undefined) throw new Error("no result");
    return result.value;
  };
  const finished = await initiator(request, context, connect, {
    onEvent: (event) => events.push(event),
    onBuilt: () => {},
  });
  await (await opened)[Symbol.asyncDispose]();
  return { finished, builds, events, output };
}

test("the engine gets the order and the files, and the initiator the outcome", async () => {
  const { finished, builds } = await run();
  expect(builds[0]?.order).toEqual(order);
  expect(builds[0]?.files).toMatchObject({ version: "1\n", large: "x".repeat(100_000) });
  expect(finished.built).toMatchObject({ id: ID, size: 42, pushed: [] });
  expect(finished.builder).toEqual({ kind: "buildkit", version: "28.5.2", platform: "linux/amd64" });
});

test("only the changes of the next context cross the tunnel", async () => {
  writeFileSync(
    join(folder, "random"),
    Buffer.from(Array.from({ length: 50_000 }, (_, index) => (index * 7919) % 251)),
  );
  const first = await run();
  writeFileSync(join(folder, "version"), "2\n");
  const { finished, builds } = await run();
  expect(builds[0]?.files).toMatchObject({ version: "2\n", large: "x".repeat(100_000) });
  expect(finished.contextBytes).toBeLessThan(1500);
  expect(finished.contextBytes).toBeLessThan(first.finished.contextBytes);
});

test("with an engine alone, passes the files on in this process", async () => {
  const { builds } = await run({}, async () => {}, "engine");
  expect(builds[0]?.files).toMatchObject({ version: "1\n" });
});

test("the events of the build arrive before its outcome", async () => {
  const { events } = await run({}, async ({ onEvent }) => {
    onEvent({ type: "step-log", step: "1", stream: "stdout", text: "hello\n" });
    await Promise.resolve();
  });
  expect(events).toEqual([{ type: "step-log", step: "1", stream: "stdout", text: "hello\n" }]);
});

test("a secret of the initiator reaches the builder", async () => {
  writeFileSync(join(folder, "token"), "t0ken");
  let secret: string | undefined;
  await run(
    { secrets: [{ id: "npm", source: { kind: "file", path: join(folder, "token") } }] },
    async ({ answers }) => void (secret = (await answers.secret("npm"))?.toString()),
  );
  expect(secret).toBe("t0ken");
});

test("--push publishes each name, and reports its digest", async () => {
  const { finished, events } = await run({ goal: { ...IMAGE, push: true } });
  expect(finished.built.pushed).toEqual([{ name: "app:v1", digest: `sha256:${"2".repeat(64)}` }]);
  expect(events).toContainEqual(expect.objectContaining({ type: "step", name: "pushing app:v1" }));
});

test("requests the image by its ID, because another build may have taken its name", async () => {
  inspected.length = 0;
  await expect(run({ goal: { ...IMAGE, isBroughtBack: true } })).rejects.toThrow("engine."); // the fake engine has no layers
  expect(inspected.length).toBeGreaterThan(1);
  expect(new Set(inspected)).toEqual(new Set([ID]));
});

describe("a check", () => {
  test.each(["installed", "engine"] as const)("reports its findings, and builds nothing (%s)", async (program) => {
    const { finished, builds } = await runInitiator(check, { task: CHECK, program });
    expect(finished).toEqual({ text: "WARNING: x", count: 1 });
    expect(builds).toHaveLength(1);
    expect(builds[0]?.files["Dockerfile"]).toBe("FROM scratch\nCOPY . /\n");
  });

  test("receives only the files that it reads, and they do not replace the stored context", async () => {
    writeFileSync(join(folder, "random"), randomBytes(50_000));
    const first = await run();
    const { builds } = await runInitiator(check, { task: CHECK });
    expect(builds[0]?.order.contextKey).not.toBe(order.contextKey);
    expect(builds[0]?.files).toEqual({ Dockerfile: "FROM scratch\nCOPY . /\n", ".dockerignore": "cache\n" });
    const { finished } = await run();
    expect(finished.contextBytes).toBeLessThan(first.finished.contextBytes);
    expect(finished.contextBytes).toBeLessThan(1500);
  });

  test("receives all files if the Dockerfile is a link, and the parent folders of the Dockerfile", async () => {
    mkdirSync(join(folder, "deploy"));
    writeFileSync(join(folder, "deploy/Dockerfile"), "FROM scratch\n");
    writeFileSync(join(folder, "deploy/other"), "");
    const inFolder = await runInitiator(check, { task: CHECK, dockerfile: "deploy/Dockerfile" });
    expect(inFolder.builds[0]?.files).toEqual({ "deploy/Dockerfile": "FROM scratch\n", ".dockerignore": "cache\n" });
    rmSync(join(folder, "Dockerfile"));
    symlinkSync("deploy/Dockerfile", join(folder, "Dockerfile"));
    const { builds } = await runInitiator(check, { task: CHECK });
    expect(builds[0]?.files).toMatchObject({ "deploy/Dockerfile": "FROM scratch\n", version: "1\n" });
  });
});

describe("reports the failure", () => {
  test("of a step with its code, after the output of the step", async () => {
    const events: BuildEvent[] = [];
    const printed: BuildEvent = { type: "step-log", step: "1", stream: "stderr", text: "no such file\n" };
    const failed = run(
      {},
      async ({ onEvent }) => {
        onEvent(printed);
        await Promise.reject(new Failure("build-failed", "the build failed at RUN make: exit code 2"));
      },
      "installed",
      events,
    );
    await expect(failed).rejects.toMatchObject({
      code: "build-failed",
      message: "the build failed at RUN make: exit code 2",
    });
    expect(events).toEqual([printed]);
  });

  test("of a push, also in the event of its step", async () => {
    const events: BuildEvent[] = [];
    const names = ["app:v1", "refused:v1"];
    const failed = run(
      { goal: { ...IMAGE, push: true }, order: { ...order, names } },
      async () => {},
      "installed",
      events,
    );
    await expect(failed).rejects.toMatchObject({ code: "push-refused" });
    const error = "the registry does not take refused:v1";
    expect(events).toContainEqual(expect.objectContaining({ step: "push refused:v1", error }));
  });

  test("of a folder without a Dockerfile before anything is sent", async () => {
    rmSync(join(folder, "Dockerfile"));
    const failed = run();
    await expect(failed).rejects.toMatchObject({ code: "not-buildable" });
  });

  test("of a missing secret before anything is sent", async () => {
    const builds: string[] = [];
    const failed = run(
      { secrets: [{ id: "npm", source: { kind: "file", path: join(folder, "missing") } }] },
      async () => {
        builds.push("built");
        await Promise.resolve();
      },
    );
    await expect(failed).rejects.toMatchObject({ code: "usage" });
    expect(builds).toEqual([]);
  });
});
