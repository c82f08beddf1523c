import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Engine } from "../../src/engine/engine.ts";
import { newRunId } from "../../src/run/run-id.ts";
import { digestOf } from "../../src/image/digest.ts";
import { parseReference } from "../../src/image/reference.ts";
import { AcceptAllPolicy } from "../../src/engine-push/accept-all-policy.ts";
import { dryPush, type DryPushResult, type DryPushOptions, type SpooledLayer } from "../../src/engine-push/dry-push.ts";
import type { PushPolicy } from "../../src/registry/embedded/push/push-policy.ts";
import { pushSelected } from "../../src/engine-push/push-selected.ts";
import { cacheFolder } from "../../src/files/cache-folder.ts";
import { openEmbeddedRegistry, type EmbeddedRegistry } from "../../src/registry/embedded/server.ts";
import { buildImage } from "../testbed/build-image.ts";
import { startTestbed } from "../testbed/start.ts";
import type { Testbed } from "../testbed/testbed.ts";
import { bed, rememberEngines, unchanged, why } from "./bed.ts";
import { openBoth } from "./registry-and-engine.ts";

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

/** Wraps a registry to record the sizes of uploads. */
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

  test("docker push and docker pull work with the password only", async () => {
    const image = `kept-${name}:v1`;
    await buildImage(near(), image, [{ name: "data", bytes: 3_000_000 }]);
    const changes = await rememberEngines(near());
    await using all = await openBoth(near().host);
    const { engine, registry } = all;
    const { credentials } = registry;
    const there = `127.0.0.1:${await registry.listen()}/team/app:v1`;
    const policy = new AcceptAllPolicy("team/app");
    registry.openPushSession("team/app", policy);
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

  test("a dry push of an image pushed before uploads no layer and changes nothing; a push of wanted layers uploads only those", async () => {
    const image = `dry-push-${name}:v1`;
    await buildImage(near(), image, [{ name: "dry-push", bytes: 3_000_000 }]);
    await using all = await openBoth(near().host);
    const { engine, options } = all;
    const diffIds = (await engine.inspectImage(image))?.diffIds ?? [];
    await pushElsewhere(engine, image, newRunId());

    const changes = await rememberEngines(near());
    const { registry, sizes } = counting(all.registry);
    const dryPushed = await dryPush(engine, parseReference(image), { ...options, registry });
    expect(all.details).toEqual([]);
    expect(dryPushed?.diffIds).toEqual(diffIds);
    expect(dryPushed?.layers.map(({ diffId }) => diffId)).toEqual(diffIds);
    expect(sizes).toEqual([dryPushed?.config.length]);
    expect(digestOf(dryPushed?.config ?? "")).toBe(dryPushed?.manifest.config.digest);

    const layers: SpooledLayer[] = [];
    const wanted = dryPushed?.layers[1]?.digest ?? "";
    const onLayer = (layer: SpooledLayer) => layers.push(layer);
    const { missing } = await pushSelected(
      engine,
      parseReference(image),
      dryPushed as DryPushResult,
      new Set([wanted]),
      {
        ...options,
        registry,
        onLayer,
      },
    );
    expect(missing).toEqual(new Set());
    // Podman requests a layer by its diff ID. It compresses a wanted layer, which gives another blob.
    const digest = store === "Podman" ? expect.any(String) : wanted;
    expect(layers).toMatchObject([{ digest, diffId: diffIds[1], size: sizes[1] }]);
    expect(sizes).toHaveLength(2);
    expect(sizes[1]).toBeGreaterThan(3_000_000);
    expect(await changes()).toEqual(unchanged(1));
    expect((await near().docker("run", "--rm", image)).stdout).toBe(`dry-push-${name} v1`);
  });

  test("a dry push by an engine that cannot reach this machine ends soon with a message", async () => {
    const image = `unreached-${name}:v1`;
    await buildImage(near(), image);
    await using all = await openBoth(near().host);
    const { port } = await unusedPort();
    const changes = await rememberEngines(near());
    const unreachable = { ...all.registry, listen: async () => port };
    expect(await dryPush(all.engine, parseReference(image), { ...all.options, registry: unreachable })).toBeUndefined();
    expect(all.details).toEqual([expect.stringContaining("refused")]);
    expect(await changes()).toEqual(unchanged(1));
  });
});

describe.skipIf(why)("a graph driver that has never pushed a layer", () => {
  test("does not compress it for a dry push, and works afterwards; a wanted layer is uploaded", async () => {
    const image = "never-pushed:v1";
    await buildImage(bed.near, image, [{ name: "never", bytes: 30_000_000 }]);
    await using all = await openBoth(bed.near.host);
    const { engine, options } = all;
    const changes = await rememberEngines(bed.near);
    const { registry, sizes } = counting(all.registry);
    const push = async (more: Partial<DryPushOptions> = {}) =>
      await dryPush(engine, parseReference(image), { ...options, registry, ...more });
    const diffIds = (await engine.inspectImage(image))?.diffIds ?? [];

    expect(await push()).toBeUndefined();
    expect(await push({ wanted: new Set(diffIds.slice(-1)) })).toBeUndefined();
    expect(all.details).toHaveLength(2);
    expect(sizes.filter((size) => size > 10_000_000)).toEqual([]);
    expect(await changes()).toEqual(unchanged(1));
    expect((await bed.near.docker("run", "--rm", image)).stdout).toBe("never-pushed v1");

    await pushElsewhere(engine, image, newRunId());
    const next = "never-pushed:v2";
    await buildImage(bed.near, next, [{ name: "never", bytes: 30_000_000 }]);
    const top = (await engine.inspectImage(next))?.diffIds.at(-1) ?? "";
    sizes.length = 0;
    const dryPushed = await dryPush(engine, parseReference(next), { ...options, registry, wanted: new Set([top]) });
    expect(dryPushed?.uploaded).toMatchObject([{ diffId: top }]);
    expect(sizes).toHaveLength(2); // that layer and the config
  });
});

/** Pushes an image to another registry, so that the engine knows the digests of its layers. */
async function pushElsewhere(engine: Engine, image: string, run: string): Promise<void> {
  await using registry = openEmbeddedRegistry({ runId: run, parent: cacheFolder(process.env) });
  const name = `127.0.0.1:${await registry.listen()}/elsewhere:v1`;
  registry.openPushSession("elsewhere", new AcceptAllPolicy("elsewhere"));
  await engine.tagImage(image, name);
  await engine.pushImage(name, { credentials: registry.credentials });
  await engine.removeReference(name);
}

/** Returns a port on which nothing listens: one that has just been closed. */
async function unusedPort(): Promise<{ port: number }> {
  const registry = openEmbeddedRegistry({ runId: newRunId() });
  const port = await registry.listen();
  await registry[Symbol.asyncDispose]();
  return { port };
}
