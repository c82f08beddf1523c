import { Readable } from "node:stream";
import { pack } from "tar-stream";
import { buffer } from "node:stream/consumers";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { bed, why } from "../../../test/engines/bed.ts";
import { BASE, importBase } from "../../../test/testbed/build-base.ts";
import type { ApiObject } from "../../src/guard/backend.ts";
import type { BuildRequest } from "../../src/guard/build-request.ts";
import { createClassicBuilds } from "../../src/guard/classic/classic-builds.ts";
import { createLimits } from "../../src/guard/limits/create-limits.ts";
import type { Caller } from "../../src/guard/caller.ts";
import { openScene, type Scene } from "./guard-images-scene.ts";

type Entry = Parameters<ReturnType<typeof pack>["entry"]>[0];
type Given = readonly [entry: string | Entry, content?: string];

const REQUEST: BuildRequest = {
  builder: "classic",
  names: [],
  dockerfile: "Dockerfile",
  target: undefined,
  buildArgs: {},
  labels: {},
  platform: undefined,
  noCache: false,
  pull: false,
  quiet: false,
  remove: true,
  forceRemove: false,
  cacheFrom: [],
  network: "none",
  extraHosts: [],
  ulimits: [],
  shmSize: undefined,
  memory: undefined,
  memorySwap: undefined,
  cpuShares: undefined,
  cpuQuota: undefined,
  cpuPeriod: undefined,
  cpusetCpus: undefined,
  remote: undefined,
  session: undefined,
  buildId: undefined,
  outputs: [],
  credentials: {},
};

describe.skipIf(why)(`builds with the classic builder ${why ?? ""}`, () => {
  let scene: Scene;
  let build: (caller: Caller, entries: readonly Given[], more?: Partial<BuildRequest>) => Promise<string>;
  const signal = new AbortController().signal;
  const unnamed = async (): Promise<string[]> => {
    const query = [["all", "1"]] as const;
    const all = (await scene.engine.json({ method: "GET", path: "/images/json", query, signal })) as { Id: string }[];
    return all.map(({ Id }) => Id).toSorted();
  };

  beforeAll(async () => {
    await importBase(bed.near);
    scene = await openScene(bed.near.host);
    for (const { tenant } of [scene.a, scene.b]) Object.assign(tenant.policy, { bases: [`docker.io/library/${BASE}`] });
    const builds = createClassicBuilds({
      engine: scene.engine,
      hasContainerdStore: async () => await Promise.resolve(false),
      own: scene.own,
      limits: createLimits(scene.ledger),
      cgroupParent: async () => await Promise.resolve(undefined),
      guardCredentials: async () => await Promise.resolve(undefined),
    });
    build = async (caller, entries, more = {}) => {
      const tar = pack();
      for (const [entry, content] of entries)
        tar.entry(typeof entry === "string" ? { name: entry } : entry, content ?? "");
      tar.finalize();
      const lines: ApiObject[] = [];
      const context = Readable.from([await buffer(tar)]);
      await builds.build(caller, { ...REQUEST, ...more }, context, (line) => void lines.push(line));
      return lines
        .map(({ stream, error }) => (typeof stream === "string" ? stream : JSON.stringify(error ?? "")))
        .join("");
    };
  });
  afterAll(async () => await scene?.[Symbol.asyncDispose]());

  test("reuses stages from the cache of the same tenant, and of no other; removes all steps with the image", async () => {
    const before = await unnamed();
    const dockerfile = `FROM ${BASE} AS one\nRUN echo 1 > /one\nFROM ${BASE}\nCOPY . /context\nCOPY --from=one /one /two\nRUN echo 2`;
    const files: Given[] = [
      ["Dockerfile", dockerfile],
      [".dockerignore", "x\n"],
    ];
    expect(await build(scene.a, files, { names: ["app:v1"] })).not.toContain("Using cache");
    expect((await build(scene.a, files)).match(/Using cache/g)).toHaveLength(4);
    expect(await build(scene.b, files, { names: ["app:v1"] })).not.toContain("Using cache");
    for (const caller of [scene.a, scene.b]) {
      await scene.images.remove(caller, "app:v1", { force: true, noPrune: false });
      for (const { id } of await scene.own.list(caller.tenant.id, signal))
        await scene.images.remove(caller, id, { force: true, noPrune: false });
    }
    expect(await unnamed()).toEqual(before);
  });

  test("a failed build leaves its steps to the next one, and they are removed with the image created from them", async () => {
    const before = await unnamed();
    const failing = `FROM ${BASE}\nRUN echo 1 > /one\nRUN exit 7`;
    expect(await build(scene.a, [["Dockerfile", failing]])).toContain("returned a non-zero code: 7");
    const [left, ...more] = await scene.own.list(scene.a.tenant.id, signal);
    expect([left?.names, more]).toEqual([[], []]);
    const mended = failing.replace("exit 7", "true");
    expect((await build(scene.a, [["Dockerfile", mended]], { names: ["mended"] })).match(/Using cache/g)).toHaveLength(
      1,
    );
    expect((await scene.own.list(scene.a.tenant.id, signal)).map(({ names }) => names.length)).toEqual([1]);
    await scene.images.remove(scene.a, "mended", { force: true, noPrune: false });
    expect(await unnamed()).toEqual(before);
  });

  test.each<[string, readonly Given[], string]>([
    [
      "a second Dockerfile",
      [
        ["Dockerfile", `FROM ${BASE}`],
        ["./Dockerfile", "FROM host:v1"],
      ],
      "base.refused",
    ],
    ["a link", [["x", `FROM ${BASE}`], [{ name: "Dockerfile", type: "symlink", linkname: "x" }]], "dockerfile.link"],
    ["files of the host's image", [["Dockerfile", `FROM ${BASE}\nCOPY --from=host:v1 / /`]], "base.refused"],
    ["a trigger", [["Dockerfile", `FROM ${BASE}\nONBUILD COPY --from=host:v1 / /`]], "dockerfile.trigger"],
    ["an address", [["Dockerfile", `FROM ${BASE}\nADD http://127.0.0.1/ /`]], "source.refused"],
    ["a label", [["Dockerfile", `FROM ${BASE}\nLABEL docker-over-ssh.guard.tenant=b`]], "label.reserved"],
  ])("refuses %s", async (_, entries, rule) => {
    const before = await unnamed();
    await expect(build(scene.a, entries)).rejects.toMatchObject({ rule });
    expect(await unnamed()).toEqual(before);
  });

  test("removes an image beyond the quota", async () => {
    const before = await unnamed();
    const caller = { ...scene.a, tenant: { ...scene.a.tenant, quotas: { ...scene.a.tenant.quotas, images: 0 } } };
    await expect(build(caller, [["Dockerfile", `FROM ${BASE}\nRUN echo q > /q`]])).rejects.toMatchObject({
      rule: "quota.images",
    });
    expect(await unnamed()).toEqual(before);
  });
});
