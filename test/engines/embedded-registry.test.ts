import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { connectEngine } from "../../src/engine/connect-engine.ts";
import { parseHost } from "../../src/engine/connect/endpoint.ts";
import type { Engine } from "../../src/engine/engine.ts";
import { newRunId } from "../../src/run/run-id.ts";
import { digestOf } from "../../src/image/digest.ts";
import { parseReference } from "../../src/image/reference.ts";
import { AcceptAllPolicy } from "../../src/engine-push/accept-all-policy.ts";
import {
  probeImage,
  type ProbedImage,
  type ProbeOptions,
  type SpooledLayer,
} from "../../src/engine-push/probe-image.ts";
import type { PushPolicy } from "../../src/registry/embedded/push-policy.ts";
import { pushSelected } from "../../src/engine-push/push-selected.ts";
import { cacheFolder } from "../../src/files/cache-folder.ts";
import { openEmbeddedRegistry, type EmbeddedRegistry } from "../../src/registry/embedded/server.ts";
import { buildImage } from "../testbed/build-image.ts";
import { startTestbed } from "../testbed/start.ts";
import type { Testbed } from "../testbed/testbed.ts";
import { bed, rememberEngines, unchanged, why } from "./bed.ts";

let containerd: Testbed;
let podman: Testbed;
beforeAll(async () => {
  if (why) return;
  [containerd, podman] = await Promise.all([
    startTestbed({ near: { kind: "28.5-containerd" } }),
    startTestbed({ near: { kind: "podman" } }),
  ]);
});
afterAll(async () => {
  for (const own of [containerd, podman]) await own?.[Symbol.asyncDispose]();
});

const STORES = [
  ["a graph driver", () => bed.near],
  ["a containerd store", () => containerd.near],
  ["Podman", () => podman.near],
] as const;

const signal = new AbortController().signal;

/** A registry, and an engine that can reach it, with what a probe needs. */
async function begin(
  host: string,
): Promise<{ engine: Engine; registry: EmbeddedRegistry; options: ProbeOptions; told: string[] } & AsyncDisposable> {
  const run = newRunId();
  const told: string[] = [];
  const [engine, registry] = [
    await connectEngine(parseHost(host, "-H"), {}),
    openEmbeddedRegistry({ runId: run, parent: cacheFolder(process.env) }),
  ];
  const options = { registry, runIds: [run], signal, onDetail: (text: string) => told.push(text) };
  return {
    engine,
    registry,
    options,
    told,
    async [Symbol.asyncDispose]() {
      await registry[Symbol.asyncDispose]();
      await engine[Symbol.asyncDispose]();
    },
  };
}

/** Wraps a registry so that uploads to whatever it takes are counted. */
function counting(registry: EmbeddedRegistry): { registry: EmbeddedRegistry; sizes: number[] } {
  const sizes: number[] = [];
  const counted = (policy: PushPolicy): PushPolicy => ({
    presentSize: (digest, accept) => policy.presentSize(digest, accept),
    beforeUpload: (digest) => policy.beforeUpload?.(digest),
    manifestReceived: (pushed) => policy.manifestReceived(pushed),
    blobReceived(blob) {
      sizes.push(blob.size);
      return policy.blobReceived(blob);
    },
    ...(policy.content && { content: policy.content }),
  });
  return {
    sizes,
    registry: {
      ...registry,
      openPushSession: (name, policy, observer) => registry.openPushSession(name, counted(policy), observer),
    },
  };
}

describe.skipIf(why).each(STORES)(`the embedded registry and %s`, (store, near) => {
  const name = store.toLowerCase().replaceAll(" ", "-");

  test("docker push and docker pull, with the password and not without", async () => {
    const image = `kept-${name}:v1`;
    await buildImage(near(), image, [{ name: "data", bytes: 3_000_000 }]);
    const changes = await rememberEngines(near());
    await using all = await begin(near().host);
    const { engine, registry } = all;
    const { credentials } = registry;
    const there = `127.0.0.1:${await registry.listen()}/team/app:v1`;
    const kept = new AcceptAllPolicy("team/app");
    registry.openPushSession("team/app", kept);
    await engine.tagImage(image, there);
    const diffIds = (await engine.inspectImage(there))?.diffIds;

    await expect(engine.pushImage(there)).rejects.toThrow(/auth|password/i);
    await engine.pushImage(there, { credentials });
    await near().docker("rmi", "--force", there, image);
    await expect(engine.pullImage(there)).rejects.toThrow(/auth|password/i);
    await engine.pullImage(there, { credentials });
    expect((await engine.inspectImage(there))?.diffIds).toEqual(diffIds);
    expect((await near().docker("run", "--rm", there)).stdout).toBe(`kept-${name} v1`);
    await engine.tagImage(there, image);
    await engine.removeReference(there);
    expect(JSON.stringify(await changes())).not.toContain("127.0.0.1");
  });

  test("a probe of an image that was pushed once uploads no layer and changes nothing; a push of what is wanted just that", async () => {
    const image = `probed-${name}:v1`;
    await buildImage(near(), image, [{ name: "probed", bytes: 3_000_000 }]);
    await using all = await begin(near().host);
    const { engine, options } = all;
    const diffIds = (await engine.inspectImage(image))?.diffIds ?? [];
    await pushElsewhere(engine, image, newRunId());

    const changes = await rememberEngines(near());
    const { registry, sizes } = counting(all.registry);
    const probed = await probeImage(engine, parseReference(image), { ...options, registry });
    expect(all.told).toEqual([]);
    expect(probed?.diffIds).toEqual(diffIds);
    expect(probed?.layers.map(({ diffId }) => diffId)).toEqual(diffIds);
    expect(sizes).toEqual([probed?.config.length]);
    expect(digestOf(probed?.config ?? "")).toBe(probed?.manifest.config.digest);

    const layers: SpooledLayer[] = [];
    const wanted = probed?.layers[1]?.digest ?? "";
    const onLayer = (layer: SpooledLayer) => layers.push(layer);
    const missing = await pushSelected(engine, parseReference(image), probed as ProbedImage, new Set([wanted]), {
      ...options,
      registry,
      onLayer,
    });
    expect(missing).toEqual(new Set());
    // Podman asks for a layer by its diff ID, and packs it when it is wanted: that is another blob.
    const digest = store === "Podman" ? expect.any(String) : wanted;
    expect(layers).toMatchObject([{ digest, diffId: diffIds[1], size: sizes[1] }]);
    expect(sizes).toHaveLength(2);
    expect(sizes[1]).toBeGreaterThan(3_000_000);
    expect(await changes()).toEqual(unchanged(1));
    expect((await near().docker("run", "--rm", image)).stdout).toBe(`probed-${name} v1`);
  });

  test("a probe by an engine that cannot reach this machine is over soon, and is told", async () => {
    const image = `unreached-${name}:v1`;
    await buildImage(near(), image);
    await using all = await begin(near().host);
    const { port } = await unusedPort();
    const changes = await rememberEngines(near());
    const unreachable = { ...all.registry, listen: async () => port };
    expect(
      await probeImage(all.engine, parseReference(image), { ...all.options, registry: unreachable }),
    ).toBeUndefined();
    expect(all.told).toEqual([expect.stringContaining("refused")]);
    expect(await changes()).toEqual(unchanged(1));
  });
});

describe.skipIf(why)("a graph driver that never pushed a layer", () => {
  test("is not made to compress it, and is well afterwards; one that is needed comes along", async () => {
    const image = "never-pushed:v1";
    await buildImage(bed.near, image, [{ name: "never", bytes: 30_000_000 }]);
    await using all = await begin(bed.near.host);
    const { engine, options } = all;
    const changes = await rememberEngines(bed.near);
    const { registry, sizes } = counting(all.registry);
    const probe = async (more: Partial<ProbeOptions> = {}) =>
      await probeImage(engine, parseReference(image), { ...options, registry, ...more });
    const diffIds = (await engine.inspectImage(image))?.diffIds ?? [];

    expect(await probe()).toBeUndefined();
    expect(await probe({ wanted: new Set(diffIds.slice(-1)) })).toBeUndefined();
    expect(all.told).toHaveLength(2);
    expect(sizes.filter((size) => size > 10_000_000)).toEqual([]);
    expect(await changes()).toEqual(unchanged(1));
    expect((await bed.near.docker("run", "--rm", image)).stdout).toBe("never-pushed v1");

    await pushElsewhere(engine, image, newRunId());
    const next = "never-pushed:v2";
    await buildImage(bed.near, next, [{ name: "never", bytes: 30_000_000 }]);
    const top = (await engine.inspectImage(next))?.diffIds.at(-1) ?? "";
    sizes.length = 0;
    const probed = await probeImage(engine, parseReference(next), { ...options, registry, wanted: new Set([top]) });
    expect(probed?.uploaded).toMatchObject([{ diffId: top }]);
    expect(sizes).toHaveLength(2); // that layer and the config
  });
});

describe.skipIf(why)("other clients", () => {
  const CREDENTIALS = "REGISTRY_AUTH_FILE";
  let folder: string;
  beforeAll(async () => void (folder = await mkdtemp(join(tmpdir(), "clients-"))));
  afterAll(async () => await rm(folder, { recursive: true }));

  /** A registry that an engine has pushed an image to, and how a client gets at it. */
  async function serving(
    image: string,
  ): Promise<{ name: string; diffIds: string[]; env: Record<string, string> } & AsyncDisposable> {
    await buildImage(bed.near, image, [{ name: "served", bytes: 3_000_000 }]);
    const all = await begin(bed.near.host);
    const host = `127.0.0.1:${await all.registry.listen()}`;
    const name = `${host}/app:v1`;
    all.registry.openPushSession("app", new AcceptAllPolicy("app"));
    all.registry.openPushSession("copy", new AcceptAllPolicy("copy"));
    await all.engine.tagImage(image, name);
    await all.engine.pushImage(name, { credentials: all.registry.credentials });
    await all.engine.removeReference(name);
    const { username, password } = all.registry.credentials;
    const auth = Buffer.from(`${username}:${password}`).toString("base64");
    const file = join(folder, `${image.replace(":", "-")}.json`);
    await writeFile(file, JSON.stringify({ auths: { [host]: { auth } } }));
    const diffIds = (await all.engine.inspectImage(image))?.diffIds ?? [];
    return {
      name,
      diffIds,
      env: { ...podman.near.env, [CREDENTIALS]: file },
      [Symbol.asyncDispose]: () => all[Symbol.asyncDispose](),
    };
  }

  test("skopeo inspects, and copies out, in and from one repository to another", async () => {
    await using there = await serving("skopeo:v1");
    const skopeo = async (command: string, ...args: string[]): Promise<string> =>
      (await podman.near.skopeo(command, `--authfile=${there.env[CREDENTIALS]}`, ...args)).stdout;
    const at = `docker://${there.name}`;
    const inspected = JSON.parse(await skopeo("inspect", "--tls-verify=false", at)) as {
      RepoTags: string[];
      Layers: string[];
    };
    expect(inspected).toMatchObject({
      RepoTags: ["v1"],
      Layers: there.diffIds.map(() => expect.stringMatching(/^sha256:/)),
    });
    const configAt = async (location: string): Promise<{ rootfs: { diff_ids: string[] } }> =>
      JSON.parse(await skopeo("inspect", "--config", "--tls-verify=false", location));
    expect((await configAt(at)).rootfs.diff_ids).toEqual(there.diffIds);

    const layout = join(folder, "layout");
    await skopeo("copy", "--src-tls-verify=false", at, `oci:${layout}:v1`);
    expect(await readdir(layout)).toContain("index.json");
    for (const [source, tag] of [
      [`oci:${layout}:v1`, "from-layout"],
      [at, "from-app"],
    ]) {
      const copy = at.replace("/app:v1", `/copy:${tag}`);
      await skopeo("copy", "--src-tls-verify=false", "--dest-tls-verify=false", source ?? "", copy);
      expect((await configAt(copy)).rootfs.diff_ids).toEqual(there.diffIds);
    }
    await expect(skopeo("inspect", "--tls-verify=false", "--no-creds", at)).rejects.toThrow(
      /unauthorized|authentication required/,
    );
  });

  test("podman pulls and pushes", async () => {
    await using there = await serving("podman:v1");
    const changes = await rememberEngines(podman.near);
    const ask = async (...args: string[]): Promise<string> => (await execa("podman", args, { env: there.env })).stdout;
    const copy = there.name.replace("/app:v1", "/copy:v1");
    const diffIds = async (name: string): Promise<unknown> =>
      JSON.parse(await ask("image", "inspect", "--format", "{{json .RootFS.Layers}}", name));
    await ask("pull", "--tls-verify=false", there.name);
    expect(await diffIds(there.name)).toEqual(there.diffIds);
    await ask("push", "--tls-verify=false", there.name, copy);
    await ask("rmi", there.name);
    await ask("pull", "--tls-verify=false", copy);
    expect(await diffIds(copy)).toEqual(there.diffIds);
    expect(await ask("run", "--rm", copy)).toBe("podman v1");
    await ask("rmi", copy);
    expect(await changes()).toEqual(unchanged(1));
  });
});

/** Pushes an image to another registry, as somebody did once, so that the engine knows the digests of its layers. */
async function pushElsewhere(engine: Engine, image: string, run: string): Promise<void> {
  await using registry = openEmbeddedRegistry({ runId: run, parent: cacheFolder(process.env) });
  const name = `127.0.0.1:${await registry.listen()}/elsewhere:v1`;
  registry.openPushSession("elsewhere", new AcceptAllPolicy("elsewhere"));
  await engine.tagImage(image, name);
  await engine.pushImage(name, { credentials: registry.credentials });
  await engine.removeReference(name);
}

/** A port on which nothing listens: one that was given back just now. */
async function unusedPort(): Promise<{ port: number }> {
  const registry = openEmbeddedRegistry({ runId: newRunId() });
  const port = await registry.listen();
  await registry[Symbol.asyncDispose]();
  return { port };
}
