import { randomBytes } from "node:crypto";
import { gzipSync } from "node:zlib";
import { openEngine, parseHost, type Engine } from "docker-over-ssh/builds";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { hiddenCredentials } from "../../../src/credentials/hidden-credentials.ts";
import { bed, why } from "../../../test/engines/bed.ts";
import { BASE, farProcessesWith, importBase, twoMachines } from "../../../test/engines/build-projects.ts";
import { startPrivateRegistries, type PrivateRegistries } from "../../../test/engines/private-registry.ts";
import type { Engine as TestEngine } from "../../../test/testbed/engine.ts";
import { startTestbed } from "../../../test/testbed/start.ts";
import { fileEntry, tar } from "../../../test/testbed/tar.ts";
import type { Testbed } from "../../../test/testbed/testbed.ts";
import { Stopped } from "../../src/store/job-store.ts";
import { EngineRunBed, type Given } from "../fixtures/run-bed.ts";

/** Random, so that these characters occur nowhere else on this machine. */
const PASSWORD = `serve-password-${randomBytes(8).toString("hex")}`;
const CREDENTIALS = hiddenCredentials("serve-user", PASSWORD);
const WRONG = hiddenCredentials("serve-user", `${PASSWORD}-wrong`);

let registries: PrivateRegistries;
let own: Testbed;
/** Docker 20.10 with its graph driver, which reaches the registry; and a later version with a containerd store. */
const engines = { "20.10": () => bed.far, "28.5-containerd": () => own.near };
type Kind = keyof typeof engines;
const kinds = Object.keys(engines) as Kind[];

beforeAll(async () => {
  if (why) return;
  registries = await startPrivateRegistries(CREDENTIALS);
  own = await startTestbed({ near: { kind: "28.5-containerd" } });
  await importBase(own.near);
});

afterAll(async () => {
  await registries?.[Symbol.asyncDispose]();
  await own?.[Symbol.asyncDispose]();
});

/** Returns the contents of an engine, in which no job may leave anything. */
async function contents(engine: Engine, on: TestEngine): Promise<unknown> {
  const { stdout: containers } = await on.docker("ps", "--all", "--quiet");
  return {
    images: (await engine.listImageIds()).toSorted(),
    references: (await engine.listReferences()).toSorted(),
    containers,
  };
}

interface Work {
  bed: EngineRunBed<Engine>;
  outcome: Awaited<ReturnType<EngineRunBed<Engine>["run"]>>;
}

/** Runs a job, and checks that it leaves nothing in the engine. `until`: a line of the log at which it is cancelled */
async function run(kind: Kind, given: Given, { cancelAt }: { cancelAt?: RegExp } = {}): Promise<Work> {
  const on = engines[kind]();
  await using engine = await openEngine(parseHost(on.host, "test"));
  const before = await contents(engine, on);
  using work = new EngineRunBed(engine);
  const push = work.lines.push.bind(work.lines);
  work.lines.push = (...lines) => {
    if (cancelAt !== undefined && lines.some((line) => cancelAt.test(line)))
      work.claimEnd.abort(new Stopped("cancelled"));
    return push(...lines);
  };
  const outcome = await work.run(given);
  expect(work.log + JSON.stringify([work.updates, outcome, work.warnings])).not.toContain(PASSWORD);
  await expect.poll(async () => await contents(engine, on)).toEqual(before);
  return { bed: work, outcome };
}

/** Returns where the far machine contains the password: files of its user, its engine and its logs, and processes. */
async function found(): Promise<unknown> {
  const texts = [PASSWORD, Buffer.from(`${CREDENTIALS.username}:${PASSWORD}`).toString("base64")];
  const patterns = texts.flatMap((text) => ["-e", text]);
  const grep = ["-rlF", "--devices=skip", ...patterns, twoMachines().far.folder];
  const { stdout } = await execa("grep", grep, { reject: false });
  return { files: stdout, processes: texts.flatMap(farProcessesWith) };
}

async function digestInRegistry(name: string): Promise<string | null> {
  const accept = "application/vnd.docker.distribution.manifest.v2+json";
  const manifest = await fetch(`${registries.open}/v2/${name}/manifests/v1`, { headers: { accept } });
  return manifest.headers.get("docker-content-digest");
}

describe.skipIf(why)(`a worker on a real engine ${why ?? ""}`, () => {
  test.each<[string, () => Given]>([
    ["a Dockerfile's text", () => ({ dockerfile: `FROM ${BASE}\nRUN echo made > /made\n` })],
    [
      "an archive",
      () => {
        const files = [fileEntry("top/Dockerfile", `FROM ${BASE}\nCOPY made /made\n`), fileEntry("top/made", "made\n")];
        return { archive: [gzipSync(Buffer.concat([...tar(files)]))], order: { strip: 1 } };
      },
    ],
  ])(
    "%s: builds and pushes with the job's password, leaves nothing, and restores the name's previous image",
    async (what, given) => {
      const repository = `serve/${what.includes("archive") ? "archive" : "text"}`;
      const name = `${registries.hosts.basic}/${repository}:v1`;
      await bed.far.docker("tag", BASE, name);
      const { bed: work, outcome } = await run("20.10", { ...given(), name, credentials: CREDENTIALS });
      expect({ outcome, log: work.log }).toEqual({
        outcome: { state: "succeeded" },
        log: expect.any(String) as string,
      });
      expect(await digestInRegistry(repository)).toBe(work.reported.digest);
      expect(work.reported).toMatchObject({ imageId: expect.stringMatching(/^sha256:/) as string, state: "pushing" });
      expect(work.log).toMatch(/^#\d+ \[2\/2\] (?:RUN|COPY) /m);
      const id = "{{.Id}}";
      const [now, base] = await Promise.all(
        [name, BASE].map(async (one) => await bed.far.docker("inspect", "--format", id, one)),
      );
      expect(now?.stdout).toBe(base?.stdout);
      await bed.far.docker("rmi", name);
      expect(await found()).toEqual({ files: "", processes: [] });
    },
  );

  test("28.5-containerd: removes the pushed image, and restores the name's previous image", async () => {
    const name = `${new URL(registries.open).host}/serve/containerd:v1`;
    await own.near.docker("tag", BASE, name);
    const dockerfile = `FROM ${BASE}\nRUN echo made > /made\n`;
    const { bed: work, outcome } = await run("28.5-containerd", { dockerfile, name });
    expect({ outcome, log: work.log }).toEqual({ outcome: { state: "succeeded" }, log: expect.any(String) as string });
    expect(work.log).toContain(`Pushed ${name}, digest ${work.reported.digest}`);
    await own.near.docker("rmi", name);
  });

  test("fails a job whose push the registry rejects, and leaves nothing", async () => {
    const name = `${registries.hosts.token}/serve/refused:v1`;
    const { bed: work, outcome } = await run("20.10", {
      dockerfile: `FROM ${BASE}\nRUN echo refused > /refused\n`,
      name,
      credentials: WRONG,
    });
    expect(outcome).toMatchObject({ state: "failed", reason: { code: "push-refused" } });
    expect(work.log).toContain(`Removed ${name} from the engine`);
  });

  test.each(kinds)("%s: a failed step leaves nothing", async (kind) => {
    const dockerfile = `FROM ${BASE}\nRUN echo one > /one\nRUN echo last words; exit 3\n`;
    const { bed: work, outcome } = await run(kind, { dockerfile });
    const message = expect.stringContaining("exit code 3") as string;
    expect(outcome).toMatchObject({ state: "failed", reason: { code: "build-failed", message } });
    expect(work.log).toContain("last words");
  });

  test.each(kinds.flatMap((kind) => [[kind, {}] as const, [kind, { memory: 64 * 1024 ** 2 }] as const]))(
    "%s: with limits %s, a cancelled build leaves neither a process nor an image",
    async (kind, limits) => {
      const seconds = String(73_000 + kinds.indexOf(kind) * 10 + Object.keys(limits).length);
      const dockerfile = `FROM ${BASE}\nRUN echo one > /one\nRUN echo begins; sleep ${seconds}\n`;
      const { outcome } = await run(kind, { dockerfile, order: { limits } }, { cancelAt: /(?:^| )begins$/ });
      expect(outcome).toMatchObject({ state: "cancelled" });
      const running = async () => (await execa("pgrep", ["--full", `^sleep ${seconds}`], { reject: false })).stdout;
      await expect.poll(running).toBe("");
    },
  );

  test.each(kinds)("%s: kills a step that exceeds its memory, and leaves nothing", async (kind) => {
    const dockerfile = `FROM ${BASE}\nRUN echo one > /one\nRUN dd if=/dev/zero of=/dev/null bs=128M count=1\n`;
    const order = { push: false };
    const free = await run(kind, { dockerfile, order });
    expect(free.outcome).toEqual({ state: "succeeded" });
    const { outcome } = await run(kind, { dockerfile, order: { ...order, limits: { memory: 64 * 1024 ** 2 } } });
    const message = expect.stringContaining("exit code 137") as string;
    expect(outcome).toMatchObject({ state: "failed", reason: { code: "build-failed", message } });
  });

  test.each(kinds)(
    "%s: applies cpus as the quota of a step; removes images built within limits, with their steps",
    async (kind) => {
      const files = "/sys/fs/cgroup/cpu/cpu.cfs_quota_us /sys/fs/cgroup/cpu.max";
      const dockerfile = `FROM ${BASE}\nRUN cat ${files} 2>/dev/null; true\nRUN echo two > /two\n`;
      const order = { push: false, limits: { cpus: 0.5, memory: 64 * 1024 ** 2 } };
      const { bed: work, outcome } = await run(kind, { dockerfile, order });
      expect(outcome).toEqual({ state: "succeeded" });
      expect(work.log).toMatch(/^50000(?: 100000)?$/m);
    },
  );

  test.each(kinds)("%s: gives a step without a network only the loopback interface", async (kind) => {
    const dockerfile = `FROM ${BASE}\nRUN echo "interfaces: $(ls /sys/class/net | tr '\\n' ' ')"\n`;
    const { bed: work, outcome } = await run(kind, { dockerfile, order: { push: false, limits: { network: "none" } } });
    expect(outcome).toEqual({ state: "succeeded" });
    expect(work.log).toMatch(/interfaces: lo $/m);
  });
});
