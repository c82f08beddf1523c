import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { Readable } from "node:stream";
import { pack } from "tar-stream";
import { expect, onTestFinished, test, vi } from "vitest";
import type { ApiObject } from "../../../../src/guard/backend.ts";
import type { BuildRequest } from "../../../../src/guard/build-request.ts";
import { createBuilds } from "../../../../src/guard/buildah/builds.ts";
import type { OpenHome } from "../../../../src/guard/buildah/homes.ts";
import { ImageEvents } from "../../../../src/guard/buildah/image-events.ts";
import { createImages } from "../../../../src/guard/buildah/images.ts";
import type { BuildahDependencies } from "../../../../src/guard/buildah/dependencies.ts";
import { BuildahError, runBuildah, type Setup } from "../../../../src/guard/buildah/run-buildah.ts";
import { StoredImages } from "../../../../src/guard/buildah/stored-images.ts";
import { openLedger } from "../../../../src/guard/ledger/open-ledger.ts";
import { createLimits } from "../../../../src/guard/limits/create-limits.ts";
import { Refusal } from "../../../../src/guard/refusal.ts";
import type { Policy, Quotas } from "../../../../src/guard/policy/policy.ts";
import { PLAIN_BUILD } from "../../../fixtures/guard/plain-build.ts";
import { callerOf, tenantOf } from "../../../fixtures/guard/tenants.ts";
import { temporaryFolder } from "../sockets/socket-bed.ts";

vi.mock("../../../../src/guard/buildah/run-buildah.ts", async (original) => ({
  ...(await original<object>()),
  runBuildah: vi.fn<typeof runBuildah>(),
}));

const idOf = (digit: string): string => digit.repeat(64);

interface StoredOne {
  id: string;
  names: string[];
  tenant?: string;
  size?: number;
}

interface Scene {
  dockerfile?: string;
  policy?: Partial<Policy>;
  quotas?: Partial<Quotas>;
  /** The images in the storage. A build adds an image of 10 bytes with the digit 1 */
  stored?: readonly StoredOne[];
  /** The last line of `buildah build`, or its error */
  printed?: string | BuildahError;
  /** A quota that ends the build while `buildah build` runs */
  quota?: Refusal;
}

/** Creates a tenant's storage, in which a stand-in for buildah works. */
async function bedWith({ dockerfile, policy, quotas, stored = [], printed = idOf("1"), quota }: Scene = {}) {
  const folder = await temporaryFolder();
  const ledger = await openLedger(join(folder.path, "ledger"));
  const limits = createLimits(ledger);
  const slot = new AbortController();
  if (quota !== undefined)
    vi.spyOn(limits, "startBuild").mockResolvedValue({ signal: slot.signal, [Symbol.asyncDispose]: async () => {} });
  onTestFinished(async () => {
    await limits[Symbol.asyncDispose]();
    await ledger[Symbol.asyncDispose]();
    await folder[Symbol.asyncDispose]();
  });
  mkdirSync(join(folder.path, "calls"));
  const images = new Map(stored.map((image) => [image.id, image]));
  const removed: string[] = [];
  const give = (id: string, names: readonly string[]): void => {
    for (const image of images.values()) image.names = image.names.filter((name) => !names.includes(name));
    images.get(id)?.names.push(...names);
  };
  vi.mocked(runBuildah).mockImplementation(async (_home, _setup, [name, ...words], _env, { onLine, signal }) => {
    if (name === "images") return JSON.stringify([...images.values()].map(({ id, names }) => ({ id, names })));
    if (name === "inspect") {
      const { tenant, size = 1 } = images.get(words.at(-1) ?? "") ?? {};
      const Labels = tenant === undefined ? {} : { "docker-over-ssh.guard.tenant": tenant };
      return JSON.stringify({ Docker: { config: { Labels } }, Manifest: JSON.stringify({ layers: [{ size }] }) });
    }
    if (name === "build") {
      if (printed instanceof BuildahError) throw printed;
      slot.abort(quota);
      signal.throwIfAborted();
      if (!images.has(idOf("1"))) images.set(idOf("1"), { id: idOf("1"), names: [], tenant: "a", size: 10 });
      give(
        idOf("1"),
        words.filter((_, at) => words[at - 1] === "--tag"),
      );
      onLine?.(printed, "stdout");
    }
    if (name === "tag") give(words[0] ?? "", words.slice(1));
    if (name === "rmi") {
      const id = (words.at(-1) ?? "").replace("sha256:", "");
      removed.push(id);
      images.delete(id);
    }
    return "";
  });
  const setup: Setup = { driver: "vfs", driverOptions: [], isolation: "oci" };
  const user = process.getuid?.() ?? 0;
  const home: OpenHome = {
    folder: folder.path,
    user,
    tenant: "a",
    builds: new Set(),
    isClean: true,
    ready: Promise.resolve(),
  };
  const dependencies = {
    setup,
    homes: { of: async () => home },
    images: new StoredImages(setup, {}, ledger),
    events: new ImageEvents(),
    limits,
    ledger,
    env: {},
    cgroupParentOf: () => undefined,
  } as unknown as BuildahDependencies;
  const plain = tenantOf("a", quotas);
  const caller = callerOf({ ...plain, policy: { ...plain.policy, bases: [], ...policy } });
  const lines: ApiObject[] = [];
  const build = async (request: Partial<BuildRequest> = {}): Promise<void> => {
    const context = pack();
    if (dockerfile !== undefined) context.entry({ name: "Dockerfile" }, dockerfile);
    context.finalize();
    await createBuilds(dependencies).build(
      caller,
      { ...PLAIN_BUILD, network: "none", ...request },
      Readable.from(context),
      (line) => lines.push(line),
    );
  };
  return { build, images: createImages(dependencies), caller, lines, removed, ledger };
}

test("records a built image as the tenant's", async () => {
  const { build, lines, ledger, images, caller } = await bedWith({ dockerfile: "FROM scratch" });
  await build();
  expect(lines).toContainEqual({ stream: "Successfully tagged app:latest\n" });
  expect(ledger.read("a").images).toMatchObject([{ id: `sha256:${idOf("1")}` }]);
  expect(await images.inspect(caller, "app", { manifests: false })).toMatchObject({ RepoTags: ["app:latest"] });
});

test("reports the reason when a quota ends a build, and leaves no image", async () => {
  const quota = new Refusal("quota.build-time", "the build time is used up");
  const { build, ledger, lines } = await bedWith({ dockerfile: "FROM scratch", quota });
  await expect(build()).rejects.toBe(quota);
  expect(ledger.read("a").images).toEqual([]);
  expect(JSON.stringify(lines)).not.toContain("Successfully");
});

test.each<[rule: string, scene: Scene]>([
  ["build.dockerfile", {}],
  [
    "build.dockerfile",
    { dockerfile: `FROM scratch\n${Array.from({ length: 1001 }, (_, at) => `FROM a${at}\n`).join("")}` },
  ],
  ["source.refused", { dockerfile: "FROM scratch\nADD http://169.254.169.254/ /x" }],
  ["base.refused", { dockerfile: "FROM alpine" }],
  ["quota.bytes", { dockerfile: "FROM scratch", quotas: { bytes: 9 } }],
  [
    "quota.images",
    {
      dockerfile: "FROM scratch",
      quotas: { images: 1 },
      stored: [{ id: idOf("2"), names: ["docker.io/library/x:1"], tenant: "a" }],
    },
  ],
])("%s: %j", async (rule, scene) => {
  const { build, ledger, removed } = await bedWith(scene);
  await expect(build()).rejects.toMatchObject({ rule });
  expect(ledger.read("a").images).toEqual([]);
  if (rule.startsWith("quota.bytes")) expect(removed).toEqual([idOf("1")]);
});

test.each<[rule: string, quotas: Partial<Quotas>]>([
  ["quota.bytes", { bytes: 10 }],
  ["quota.images", { images: 2 }],
])("%s: the name stays with the tenant's earlier image", async (rule, quotas) => {
  const stored = [{ id: idOf("2"), names: ["docker.io/library/app:latest"], tenant: "a" }];
  const { build, images, caller, removed, ledger } = await bedWith({ dockerfile: "FROM scratch", quotas, stored });
  await expect(build({ names: ["app", "app:2", "app:3"] })).rejects.toMatchObject({ rule });
  expect(await images.inspect(caller, "app", { manifests: false })).toMatchObject({ Id: `sha256:${idOf("2")}` });
  expect(removed).toEqual([idOf("1")]);
  expect(ledger.read("a").images).toEqual([]);
});

test("removes no image if a build beyond a quota has created one that the tenant has", async () => {
  const stored = [{ id: idOf("1"), names: ["docker.io/library/own:1"], tenant: "a", size: 10 }];
  const scene = { dockerfile: "FROM scratch", quotas: { images: 2 }, stored };
  const { build, images, caller, removed } = await bedWith(scene);
  await expect(build({ names: ["app", "app:2"] })).rejects.toMatchObject({ rule: "quota.images" });
  expect(await images.inspect(caller, "own:1", { manifests: false })).toMatchObject({ RepoTags: ["own:1"] });
  expect(removed).toEqual([]);
});

test("moves a name to the last built image; the earlier image still counts", async () => {
  const stored = [{ id: idOf("2"), names: ["docker.io/library/app:latest"], tenant: "a" }];
  const { build, images, caller } = await bedWith({ dockerfile: "FROM scratch", quotas: { images: 2 }, stored });
  await build({ names: ["app"] });
  expect(await images.inspect(caller, "app", { manifests: false })).toMatchObject({ Id: `sha256:${idOf("1")}` });
});

test("refuses a context that is too large", async () => {
  const { build } = await bedWith({ dockerfile: "FROM scratch", quotas: { context: 1 } });
  await expect(build()).rejects.toMatchObject({ rule: "context.invalid", statusCode: 400 });
});

test("removes fetched bases that the policy no longer allows before the next build", async () => {
  const stored = [
    { id: idOf("2"), names: ["docker.io/library/alpine:3"] },
    { id: idOf("3"), names: ["docker.io/library/debian:12"] },
    { id: idOf("4"), names: ["docker.io/library/own:1"], tenant: "a" },
  ];
  const policy = { bases: ["docker.io/library/debian"] };
  const { build, removed } = await bedWith({ dockerfile: "FROM scratch", stored, policy });
  await build();
  expect(removed).toEqual([idOf("2")]);
});

test("refuses a new name beyond the quota, but accepts one that the image has", async () => {
  const stored = [{ id: idOf("2"), names: ["docker.io/library/own:1", "docker.io/library/own:2"], tenant: "a" }];
  const { images, caller } = await bedWith({ stored, quotas: { images: 2 } });
  await expect(images.tag(caller, "own:1", "own:3")).rejects.toMatchObject({ rule: "quota.images" });
  await images.tag(caller, "own:1", "own:2");
});

test("neither shows nor removes a base or another tenant's image", async () => {
  const stored = [
    { id: idOf("2"), names: ["docker.io/library/alpine:3"] },
    { id: idOf("3"), names: ["docker.io/library/x:1"], tenant: "b" },
  ];
  const { images, caller, removed } = await bedWith({ stored });
  for (const name of ["alpine:3", "x:1", idOf("2"), "3333"]) {
    await expect(images.inspect(caller, name, { manifests: false })).rejects.toMatchObject({ rule: "image.unknown" });
    await expect(images.remove(caller, name, { force: true, noPrune: false })).rejects.toMatchObject({
      rule: "image.unknown",
    });
  }
  expect(removed).toEqual([]);
});

test("reports a failed step as a line, and fails if a build creates no image", async () => {
  const failed = await bedWith({ dockerfile: "FROM scratch", printed: new BuildahError("no such step", 1, []) });
  await failed.build();
  expect(failed.lines.at(-1)).toMatchObject({ error: "no such step" });
  const silent = await bedWith({ dockerfile: "FROM scratch", printed: "nothing" });
  await expect(silent.build()).rejects.toThrow("does not report which image");
});

test("does not remove an image that a build uses, and does not name the container", async () => {
  const stored = [{ id: idOf("2"), names: ["docker.io/library/own:1"], tenant: "a" }];
  const { images, caller } = await bedWith({ stored });
  const run = vi.mocked(runBuildah).getMockImplementation();
  vi.mocked(runBuildah).mockImplementation(async (home, setup, words, env, options) => {
    if (words[0] === "rmi") throw new BuildahError("image used by 0123: image is in use by a container", 1, []);
    return (await run?.(home, setup, words, env, options)) ?? "";
  });
  await expect(images.remove(caller, "own:1", { force: false, noPrune: false })).rejects.toMatchObject({
    rule: "image.conflict",
    statusCode: 409,
    message: "conflict: unable to delete own:1: a running build uses it",
  });
});

test("simultaneous listings share programs", async () => {
  const { images, caller } = await bedWith({
    stored: [{ id: idOf("2"), names: ["docker.io/library/own:1"], tenant: "a" }],
  });
  const any = { all: false, digests: false, references: [], labels: [], before: [], since: [], until: [] };
  await images.list(caller, any); // records the tenant in the ledger
  vi.mocked(runBuildah).mockClear();
  const lists = await Promise.all(Array.from({ length: 50 }, () => images.list(caller, any)));
  for (const list of lists) expect(list).toHaveLength(1);
  expect(vi.mocked(runBuildah).mock.calls.filter(([, , [name]]) => name === "images")).toHaveLength(2);
});
