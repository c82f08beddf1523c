import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { buildImage, type LayerSpec } from "../testbed/build-image.ts";
import { buildWithBuildx } from "../testbed/build-with-buildx.ts";
import { askEngine } from "../testbed/engine-api.ts";
import { whyNotKind } from "../testbed/engine-packages.ts";
import type { Engine } from "../testbed/engine.ts";
import { startTestbed } from "../testbed/start.ts";
import type { Testbed } from "../testbed/testbed.ts";
import { done, dos, startDos, staysInCache, why } from "./bed.ts";

const whyNot = why ?? (await whyNotKind("29-containerd"));

const kB = 1000;
const MB = 1_000_000;
/** Bytes that both versions of an image share, and bytes that differ. They are random, so that they do not compress. */
const [COMMON, CHANGED] = [20 * MB, 100 * kB];
/** Limit for all bytes of a changed version, including messages. */
const CHANGE_COSTS = 200 * kB;
/** The layer during which a pull is killed: its size, the point of the kill, and the bytes that may be sent again. */
const [LARGE, KILLED_AT, LOSS] = [40 * MB, 20 * MB, 8 * MB];
/** Megabits per second. */
const SLOW = 60;

type Side = "near" | "far";
type Kind = "28.5-containerd" | "29-containerd";

const builders = { classic: buildImage, buildx: buildWithBuildx };
const imageOf = (builder: string, side: Side, tag: string): string => `${builder}-${side}:${tag}`;

/** A route between the engines, typed on the near machine. */
interface Route {
  how: string;
  /** The side that has the image. */
  from: Side;
  /** Returns the rest of the command line. */
  command: (image: string, far: Engine) => string[];
  /** The number of ssh runs. */
  logins: number;
  /** The kind of the far engine, if the route is only for one. */
  only?: Kind;
}

const DIAL = ["ssh", "far", "docker", "system", "dial-stdio"];
const NOTE = /connecting to .* once more, for the engine's gRPC \(content store, BuildKit\)$/gm;

const routes: Route[] = (["near", "far"] as const).flatMap((from) => {
  const [verb, other] = from === "near" ? ["pushed to", "pull"] : ["pulled from", "push"];
  return [
    // docker-over-ssh on both sides, as in most tests.
    {
      from,
      how: `${verb} docker-over-ssh`,
      logins: 1,
      only: "28.5-containerd",
      command: (image) => ["ssh", "far", `docker-over-ssh ${other} ${image}`],
    },
    // One connection for requests, another for the content store.
    { from, how: `${verb} an engine alone`, logins: 2, command: () => DIAL },
    // ssh://HOST knows the version before the first byte. Docker 29 speaks HTTP/2 and needs one connection.
    {
      from,
      how: `${verb} ssh://HOST, where there is an engine alone`,
      logins: 1,
      only: "29-containerd",
      command: () => ["ssh://bare"],
    },
    // The engine is in the network of another machine, with another 127.0.0.1.
    {
      from,
      how: `${verb} an engine that does not reach this machine`,
      logins: 0,
      command: (image, far) => ["docker-over-ssh", other, "-H", far.host, image],
    },
  ] satisfies Route[];
});

describe.skipIf(whyNot).each<Record<Side, Kind>>([
  { near: "29-containerd", far: "28.5-containerd" },
  { near: "28.5-containerd", far: "29-containerd" },
])(`near $near, far $far ${whyNot ?? ""}`, (kinds) => {
  let bed: Testbed;
  let env: Record<string, string>;
  let log: string;

  beforeAll(async () => {
    if (whyNot) return;
    bed = await startTestbed({ near: { kind: kinds.near }, far: { kind: kinds.far } });
    // An `ssh` first in PATH that counts its runs.
    const bin = join(bed.folder, "counting");
    log = join(bin, "log");
    mkdirSync(bin);
    const script = `#!/bin/sh\necho run >> ${log}\nexec ${join(bed.bin, "ssh")} "$@"\n`;
    writeFileSync(join(bin, "ssh"), script, { mode: 0o755 });
    env = { PATH: `${bin}:${bed.env["PATH"]}` };
    await Promise.all((["near", "far"] as const).map(async (side) => await buildAll(bed[side], side)));
    await buildImage(bed.far, "large:v1", [{ name: "data", bytes: LARGE }]);
  });
  afterAll(async () => await bed?.[Symbol.asyncDispose]());

  /** Removes the images that a route has brought to an engine, and leaves the engine's own images for the next route. */
  afterEach(async () => {
    if (whyNot) return;
    await bed.limitRate(undefined);
    for (const [side, arrived] of [
      ["near", /far|large/],
      ["far", /near/],
    ] as const) {
      const { references } = await bed[side].listing();
      const left = references.filter((name) => arrived.test(name));
      if (left.length > 0) await bed[side].docker("rmi", "--force", ...left);
    }
  });

  function logins(): number {
    return existsSync(log) ? readFileSync(log, "utf8").trim().split("\n").length : 0;
  }

  /** Returns the files in the near machine's cache, except for V8's compiled code. */
  function cached(): string[] {
    const cache = join(bed.env["HOME"] ?? "", ".cache/docker-over-ssh");
    if (!existsSync(cache)) return [];
    const paths = readdirSync(cache, { recursive: true, encoding: "utf8" }).filter((path) => !staysInCache(path));
    return paths.map((path) => join(cache, path)).filter((path) => statSync(path, { throwIfNoEntry: false })?.isFile());
  }

  /** Sends an image on a route. Returns its stderr and the bytes sent. */
  async function send(image: string, route: Route, ...options: string[]): Promise<{ stderr: string; cost: number }> {
    rmSync(log, { force: true });
    const wire = await bed.countWire();
    const line = [route.from === "near" ? "push" : "pull", ...options, image, ...route.command(image, bed.far)];
    const run = await dos(line, { on: bed, env });
    expect(run).toEqual(done);
    const { toFar, toNear } = await wire();
    expect(logins()).toBe(route.logins);
    expect(run.stderr.match(NOTE) ?? []).toHaveLength(route.logins > 1 ? 1 : 0);
    // Nothing crosses the wire between two engines reached by their sockets, so the byte count is taken from the summary.
    const [, size, unit = ""] = /: ([\d.]+) (B|kB|MB) (?:sent|received) for/.exec(run.stderr) ?? [];
    const printed = Number(size) * ({ B: 1, kB, MB }[unit] ?? NaN);
    return { stderr: run.stderr, cost: Math.max(printed, route.from === "near" ? toFar : toNear) };
  }

  /** `--preserve-digest` preserves the manifest of the variant that is sent from an index. */
  describe.each(Object.keys(builders))("an image built with %s arrives", (builder) => {
    test.each(routes.filter(({ only = kinds.far }) => only === kinds.far))(
      "$how: completely, then with only the missing layers of a second version; --preserve-digest preserves the variant's manifest",
      async (route) => {
        const [source, target] = route.from === "near" ? [bed.near, bed.far] : [bed.far, bed.near];
        const [v1, v2] = [imageOf(builder, route.from, "v1"), imageOf(builder, route.from, "v2")];
        const before = await Promise.all([source.listing(), target.listing()]);

        const whole = await send(v1, route, "--preserve-digest");
        expect(whole.cost).toBeGreaterThan(COMMON);
        expect(await manifestOf(target, v1)).toBe(await manifestOf(source, v1));
        await runs(target, v1);

        const changed = await send(v2, route);
        expect(changed.stderr).toMatch(/for 2 layers, 2 layers.* already present/);
        expect(changed.cost).toBeGreaterThan(CHANGED);
        expect(changed.cost).toBeLessThan(CHANGE_COSTS);
        await runs(target, v2);

        if (builder === "buildx") {
          await target.docker("rmi", v2);
          expect((await send(v2, route, "--preserve-digest")).cost).toBeLessThan(CHANGE_COSTS);
          expect(await manifestOf(target, v2)).toBe(await manifestOf(source, v2));
          await runs(target, v2);
        }

        await target.docker("rmi", v1, v2);
        expect(await Promise.all([source.listing(), target.listing()])).toEqual(before);
        expect(cached()).toEqual([]);
      },
    );
  });

  test("the next pull from an engine alone resumes one that was killed during a layer", async () => {
    await bed.limitRate(SLOW);
    const line = ["pull", "large:v1", ...DIAL];
    const run = startDos(line, { on: bed, env });
    const arrived = (): number =>
      Math.max(0, ...cached().map((path) => statSync(path, { throwIfNoEntry: false })?.size ?? 0));
    await expect
      .poll(() => arrived() >= KILLED_AT || run.exitCode !== null, { interval: 5, timeout: 60_000 })
      .toBe(true);
    run.kill("SIGKILL");
    expect((await run).signal).toBe("SIGKILL");
    await bed.limitRate(undefined);
    const missing = LARGE - arrived();
    expect(missing).toBeGreaterThan(LOSS);

    const wire = await bed.countWire();
    expect(await dos(line, { on: bed, env })).toEqual(done);
    expect((await wire()).toNear).toBeLessThan(missing + LOSS);
    await runs(bed.near, "large:v1");
    expect(cached()).toEqual([]);
  });

  test.runIf(kinds.far === "28.5-containerd")(
    "ssh://HOST with an engine alone before Docker 29 logs in twice, with one note",
    async () => {
      const route: Route = { how: "pushed", from: "near", logins: 2, command: () => ["ssh://bare"] };
      const { stderr } = await send(imageOf("classic", "near", "v1"), route);
      expect(stderr).toContain(
        "remote side: docker system dial-stdio (the engine of bare alone: layers are sent whole)\n",
      );
    },
  );
});

async function buildAll(engine: Engine, side: Side): Promise<void> {
  for (const [builder, build] of Object.entries(builders)) {
    for (const tag of ["v1", "v2"]) {
      const seed = imageOf(builder, side, "");
      const layers: LayerSpec[] = [
        { name: "libraries", bytes: COMMON, files: 20, seed },
        { name: "app-data", bytes: CHANGED, seed: `${seed}${tag}` },
      ];
      await build(engine, imageOf(builder, side, tag), layers);
    }
  }
}

async function runs(engine: Engine, image: string): Promise<void> {
  expect((await engine.docker("run", "--rm", image)).stdout).toBe(image.replace(":", " "));
}

/** Returns the manifest digest of an image's only variant, which an index names in addition to an attestation. */
async function manifestOf({ description: { socket } }: Engine, image: string): Promise<string | undefined> {
  const images = JSON.parse(await askEngine(socket, "/images/json?manifests=1")) as {
    RepoTags: string[];
    Manifests: { Kind: string; Descriptor: { digest: string } }[];
  }[];
  const { Manifests = [] } = images.find(({ RepoTags }) => RepoTags.includes(image)) ?? {};
  const variants = Manifests.filter(({ Kind }) => Kind === "image");
  expect(variants).toHaveLength(1);
  return variants[0]?.Descriptor.digest;
}
