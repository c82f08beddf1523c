import { execa } from "execa";
import { startTestbed } from "../../test/testbed/start.ts";
import type { Testbed } from "../../test/testbed/testbed.ts";
import { until } from "../../test/testbed/wait.ts";
import { layersOf } from "../images.ts";
import { ratio } from "../statistics.ts";
import { figure } from "../table.ts";
import { buildImages, load, medianOf, push, type Pushed } from "./pushes.ts";
import type { SeveralOptions } from "./several.ts";

/** Pushes images that share a base to one host, with one command and with a command for each. */
export async function measureImages(options: SeveralOptions): Promise<void> {
  const { count, rounds, baseMB, ownMB, content, mbit, near, far, args } = options;
  await using bed = await startTestbed({ near: { kind: near }, far: { kind: far } });
  const names = await buildImages(bed, options);
  const distinct = await distinctBytes(bed, names);
  await bed.limitRate(mbit);
  const [together, single]: [Pushed[], Pushed[]] = [[], []];
  // The first round is not counted, because it sends docker-over-ssh, compiles it and fills the system's caches.
  for (let round = 0; round <= rounds; round++) {
    await empty(bed, names);
    const one = await push(bed, [...args, ...names, "ssh://far"]);
    await check(bed, names);
    await empty(bed, names);
    const each: Pushed[] = [];
    for (const name of names) each.push(await push(bed, [...args, name, "ssh://far"]));
    await check(bed, names);
    const all = sum(each);
    console.error(
      `round ${round}: one push ${figure(one.seconds)} s, ${count} pushes ${figure(all.seconds)} s (${each.map(({ seconds }) => seconds.toFixed(2)).join(" ")}); load ${load()}`,
    );
    if (round === 0) continue;
    together.push(one);
    single.push(all);
  }
  const [seconds, singles] = [medianOf(together, "seconds"), medianOf(single, "seconds")];
  const bytes = medianOf(together, "bytes");
  console.log(
    `${bed.near.version} (${near}) to ${bed.far.version} (${far}), ${mbit ?? "no limit of"} Mbit/s, ${count} images: ${baseMB} MB shared, ${ownMB} MB each, ${content}; load ${load()}
time:  one push ${figure(seconds)} s, ${count} pushes ${figure(singles)} s: ${figure(ratio(seconds, singles) ?? NaN)}
CPU:   one push ${figure(medianOf(together, "allCpu"))} s, ${count} pushes ${figure(medianOf(single, "allCpu"))} s, of all processes
bytes: one push ${(bytes / 1e6).toFixed(3)} MB, distinct layers as the engine stores them ${(distinct / 1e6).toFixed(3)} MB: ${figure(ratio(bytes, distinct) ?? NaN)}`,
  );
}

function sum(all: readonly Pushed[]): Pushed {
  const of = (key: keyof Pushed): number => all.reduce((total, pushed) => total + pushed[key], 0);
  return { seconds: of("seconds"), bytes: of("bytes"), nearCpu: of("nearCpu"), allCpu: of("allCpu") };
}

/** Removes the images from the receiver, and waits until their blobs are gone. */
async function empty(bed: Testbed, names: string[]): Promise<void> {
  await bed.far.docker("rmi", "--force", ...names).catch(() => {}); // missing in the first round
  await bed.far.docker("image", "prune", "--force", "--all");
  await until("the receiver is empty", async () => (await bed.far.listing()).references.length === 0);
}

async function check(bed: Testbed, names: string[]): Promise<void> {
  for (const name of names) {
    if ((await layersOf(bed.near, name)) !== (await layersOf(bed.far, name)))
      throw new Error(`${name} has not arrived`);
  }
}

/** Returns the bytes of all layers, each counted once, in the form that the sending engine saves. */
async function distinctBytes(bed: Testbed, names: string[]): Promise<number> {
  const script = `set -o pipefail; docker save "$@" | tar -xO manifest.json; echo; docker save "$@" | tar -tv`;
  const { stdout } = await execa("bash", ["-ec", script, "bash", ...names], { env: bed.env });
  const [manifest = "", ...lines] = stdout.split("\n");
  const layers = new Set((JSON.parse(manifest) as { Layers: string[] }[]).flatMap(({ Layers }) => Layers));
  const sizes = lines.map((line) => line.split(/\s+/)).filter(([, , , , , path = ""]) => layers.has(path));
  return sizes.reduce((total, [, , size]) => total + Number(size), 0);
}
