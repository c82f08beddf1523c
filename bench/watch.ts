/**
 * Measures `push --watch`: `npm run bench:watch`. Measures the time from the move of a tag in the near engine until the far engine has the image
 * under its name, in turns with a fresh push of an image with the same kind of change.
 */
import { readFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { parseArgs } from "node:util";
import { execa } from "execa";
import { askEngine } from "../test/testbed/engine-api.ts";
import type { EngineKind } from "../test/testbed/engine-packages.ts";
import type { Engine } from "../test/testbed/engine.ts";
import { startTestbed } from "../test/testbed/start.ts";
import { buildApp, buildLayersBelow } from "./small-image.ts";
import { median } from "./statistics.ts";

const USAGE = `npm run bench:watch -- [options]

--mb N        size of the image below the app layer (100)
--app-mb N    size of the app layer (0.2)
--rounds N    (10)
--near KIND --far KIND   engines of the test bed (28.5-containerd)
--way WAY     --far of docker-over-ssh (installed)
--verbose     print name the watch prints`;

/** The ms between two queries of the far engine. */
const LOOK_EVERY = 5;
/** The time limit for the arrival of an image, in ms. */
const PATIENCE = 30_000;

const { values: options } = parseArgs({
  options: {
    mb: { type: "string", default: "100" },
    "app-mb": { type: "string", default: "0.2" },
    rounds: { type: "string", default: "10" },
    near: { type: "string", default: "28.5-containerd" },
    far: { type: "string", default: "28.5-containerd" },
    way: { type: "string", default: "installed" },
    verbose: { type: "boolean", default: false },
    help: { type: "boolean", default: false },
  },
});
if (options.help) console.log(USAGE);
else await main();

async function main(): Promise<void> {
  const [rounds, megabytes] = [Number(options.rounds), Number(options.mb)];
  const appBytes = Number(options["app-mb"]) * 1e6;
  const kinds = { near: { kind: options.near as EngineKind }, far: { kind: options.far as EngineKind } };
  await using bed = await startTestbed(kinds);
  const host = options.way === "installed" ? "ssh://far" : "ssh://with-node";
  const way = ["--no-progress", ...(options.verbose ? ["--verbose"] : []), "--far", options.way];
  await buildLayersBelow(bed.near, megabytes);
  for (const image of ["watched:v1", "fresh:v1"]) await buildApp(bed.near, image, image, appBytes);
  const push = (args: string[]) =>
    execa("docker-over-ssh", ["push", ...way, ...args, host], { env: bed.env, stdin: "ignore", reject: false });
  await push(["fresh:v1"]);
  const watch = push(["--watch", "watched:v1"]);
  let printed = "";
  watch.stderr.on("data", (chunk: Buffer) => {
    printed += chunk.toString();
    if (options.verbose) process.stderr.write(chunk);
  });
  while (!printed.includes("watching")) {
    if (watch.exitCode !== null) throw new Error(`the watch has ended: ${printed}`);
    await delay(LOOK_EVERY);
  }
  const seconds: Record<"watch" | "fresh" | "fresh, until it ends", number[]> = {
    watch: [],
    fresh: [],
    "fresh, until it ends": [],
  };
  let before = 0;
  for (let round = 1; round <= rounds; round++) {
    const begin = async (image: string): Promise<{ start: number; layer: string }> => {
      await buildApp(bed.near, "next:v1", `${image} ${round}`, appBytes);
      const layer = await topLayer(bed.near, "next:v1");
      const start = performance.now();
      await bed.near.docker("tag", "next:v1", image);
      return { start, layer };
    };
    const watched = await begin("watched:v1");
    await untilThere(bed.far, "watched:v1", watched.layer);
    seconds.watch.push(since(watched.start));
    const fresh = await begin("fresh:v1");
    const pushed = push(["fresh:v1"]);
    await untilThere(bed.far, "fresh:v1", fresh.layer);
    seconds.fresh.push(since(fresh.start));
    await pushed;
    seconds["fresh, until it ends"].push(since(fresh.start));
    if (round === 1) before = memoryOf(watch.pid);
    const last = Object.entries(seconds).map(([name, all]) => `${name} ${all.at(-1)?.toFixed(2)} s`);
    console.error(`round ${round} of ${rounds}: ${last.join(", ")}`);
  }
  const memory = `${before} MB of memory after the first round, ${memoryOf(watch.pid)} MB after the last`;
  watch.kill("SIGINT");
  const { exitCode } = await watch;
  console.log(
    `${bed.near.version} (${options.near}) to ${bed.far.version} (${options.far}), ${options.way}, ${megabytes} MB below`,
  );
  for (const [name, all] of Object.entries(seconds)) {
    console.log(`${name}: median ${median(all).toFixed(2)} s of ${all.map((one) => one.toFixed(2)).join(" ")}`);
  }
  console.log(`the watch: ${memory}; it ended with status ${exitCode}`);
}

/** Returns the resident memory of a process in MB. */
function memoryOf(pid: number | undefined): number {
  const [, kB = ""] = /^VmRSS:\s*(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8")) ?? [];
  return Math.round(Number(kB) / 1000);
}

function since(start: number): number {
  return (performance.now() - start) / 1000;
}

async function topLayer(engine: Engine, image: string): Promise<string> {
  const { RootFS } = JSON.parse(await askEngine(engine.description.socket, `/images/${image}/json`)) as {
    RootFS: { Layers: string[] };
  };
  return RootFS.Layers.at(-1) ?? "";
}

async function untilThere(engine: Engine, image: string, layer: string): Promise<void> {
  const end = performance.now() + PATIENCE;
  // A containerd store removes a name for a moment while it moves the name to another image.
  while ((await topLayer(engine, image).catch(() => "")) !== layer) {
    if (performance.now() > end) throw new Error(`${image} has not arrived`);
    await delay(LOOK_EVERY);
  }
}
