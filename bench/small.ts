/**
 * Measures small transfers: `npm run bench:small`. Nothing has changed, or an app layer of 0.2 MB. Compares them with `ssh far true` (a login
 * alone) and a registry that keeps running. Unlike in `npm run bench`, caches are warm, as in everyday use, and the peers take turns, so that
 * other load on the machine affects all of them equally.
 */
import { writeFileSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import { parseArgs } from "node:util";
import type { EngineKind } from "../test/testbed/engine-packages.ts";
import { startTestbed } from "../test/testbed/start.ts";
import { layersOf } from "./images.ts";
import { typed } from "./measure.ts";
import { ours } from "./peers/ours.ts";
import { registryPull } from "./peers/registry.ts";
import { startRegistry } from "./peers/registry-process.ts";
import { machinesOf } from "./stage.ts";
import { buildApp, buildLayersBelow } from "./small-image.ts";
import { median, ratio } from "./statistics.ts";
import { figure } from "./table.ts";

const USAGE = `npm run bench:small -- [options]

--mb N        size of the image below the app layer (20)
--rounds N    whose median is reported (7)
--near KIND --far KIND   engines of the test bed (28.5-containerd)
--also FOLDER another built checkout of this tool to measure as well; may be repeated`;

const APP_BYTES = 200_000;

const { values: options } = parseArgs({
  options: {
    mb: { type: "string", default: "20" },
    rounds: { type: "string", default: "7" },
    near: { type: "string", default: "28.5-containerd" },
    far: { type: "string", default: "28.5-containerd" },
    also: { type: "string", multiple: true, default: [] },
    help: { type: "boolean", default: false },
  },
});
if (options.help) console.log(USAGE);
else await main();

async function main(): Promise<void> {
  const [rounds, megabytes] = [Number(options.rounds), Number(options.mb)];
  const kinds = { near: { kind: options.near as EngineKind }, far: { kind: options.far as EngineKind } };
  await using bed = await startTestbed(kinds);
  const registry = await startRegistry(machinesOf(bed).near, join(bed.folder, "registry"));
  const stage = { bed, registry, env: bed.env };
  const peers = new Map<string, (image: string) => string>([
    [ours.name, ours.line],
    [registryPull.name, (image) => registryPull.line(image, stage)],
  ]);
  for (const [index, folder] of options.also.entries()) {
    const script = join(resolve(folder), "bin/docker-over-ssh.js");
    const also = join(bed.bin, `also-${index}`);
    writeFileSync(also, `#!/bin/sh\nexec '${process.execPath}' '${script}' "$@"\n`, { mode: 0o755 });
    peers.set(
      `docker-over-ssh of ${basename(folder)}`,
      (image) => `${also} push ${image} ssh far "${also} pull ${image}"`,
    );
  }

  await buildLayersBelow(bed.near, megabytes);
  const seconds = new Map<string, number[]>();
  const time = async (peer: string, line: string): Promise<void> => {
    const start = performance.now();
    await typed(line, stage, new AbortController().signal);
    seconds.set(peer, [...(seconds.get(peer) ?? []), (performance.now() - start) / 1000]);
  };
  // The first round is not counted, because it sends the layers below.
  for (let round = 0; round <= rounds; round++) {
    await time("ssh far true", "ssh far true");
    await time("node -e 0", "node -e 0");
    for (const [name, lineFor] of turned([...peers], round)) {
      const image = `small-${[...peers.keys()].indexOf(name)}:v1`;
      await buildApp(bed.near, image, `${name} ${round}`, APP_BYTES);
      const line = lineFor(image);
      await time(`${name}: app layer`, line);
      await time(`${name}: nothing`, line);
      const [sent, came] = [await layersOf(bed.near, image), await layersOf(bed.far, image)];
      if (sent !== came) throw new Error(`${name} brought other layers than were sent`);
    }
    for (const engine of [bed.near, bed.far]) await engine.docker("image", "prune", "--force");
    if (round === 0) seconds.clear();
    console.error(`round ${round} of ${rounds}`);
  }
  console.log(
    `${bed.near.version} to ${bed.far.version}, ${megabytes} MB below the app layer, Node ${process.version}`,
  );
  console.log(table(seconds));
}

/** Rotates the peers, so that each round begins with another peer. */
function turned<T>(all: T[], by: number): T[] {
  return all.map((_, index) => all[(index + by) % all.length] as T);
}

function table(seconds: Map<string, number[]>): string {
  const login = median(seconds.get("ssh far true") ?? []);
  const rows = [...seconds].map(([peer, all]) => {
    const middle = median(all);
    const [least, most] = [Math.min(...all), Math.max(...all)];
    return [peer, middle, least, most, middle - login, ratio(middle, login)]
      .map((cell) => (typeof cell === "string" ? cell : figure(cell)))
      .join(" | ");
  });
  const head = ["", "median, s", "least", "most", "beyond `ssh far true`", "times that"];
  return [head.join(" | "), head.map(() => "---").join(" | "), ...rows].map((row) => `| ${row} |`).join("\n");
}
