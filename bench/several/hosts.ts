import { join } from "node:path";
import { cpus } from "node:os";
import { startTestbed } from "../../test/testbed/start.ts";
import { layersOf } from "../images.ts";
import { ratio } from "../statistics.ts";
import { figure } from "../table.ts";
import { AddedHosts, type Host } from "./add-hosts.ts";
import { countReads } from "./engine-reads.ts";
import { buildImages, load, medianOf, push, type Pushed } from "./pushes.ts";
import type { SeveralOptions } from "./several.ts";

/** Pushes an image to one host and to several hosts, each with its own engine and link. */
export async function measureHosts(options: SeveralOptions): Promise<void> {
  const { count, rounds, baseMB, ownMB, content, mbit, near, far, args } = options;
  await using bed = await startTestbed({ near: { kind: near }, far: { kind: far } });
  await using added = new AddedHosts(bed);
  for (let number = 1; number < count; number++) await added.add(far);
  const first: Host = { name: "far", engine: bed.far, limitRate: async (rate) => await bed.limitRate(rate) };
  const hosts = [first, ...added.all];
  const [image = ""] = await buildImages(bed, { ...options, count: 1 });
  for (const host of hosts) await host.limitRate(mbit);

  const pushTo = async (to: readonly Host[], env: Record<string, string> = {}): Promise<Pushed> => {
    for (const { engine } of to) {
      await engine.docker("rmi", "--force", image).catch(() => {}); // missing in the first round
      await engine.docker("image", "prune", "--force", "--all");
    }
    const pushed = await push(bed, [...args, image, ...to.map(({ name }) => `ssh://${name}`)], env);
    for (const { name, engine } of to) {
      if ((await layersOf(engine, image)) !== (await layersOf(bed.near, image)))
        throw new Error(`${image} has not arrived on ${name}`);
    }
    return pushed;
  };

  // These two pushes are not measured, because counting takes time. They also fill the caches.
  await using reads = await countReads(bed.near, join(bed.folder, "counted.sock"));
  const counted: number[] = [];
  for (const to of [hosts, [first], hosts]) {
    reads.take();
    await pushTo(to, { DOCKER_HOST: reads.host });
    counted.push(reads.take());
  }
  const [, readForOne = NaN, readForAll = NaN] = counted;
  const [one, all]: [Pushed[], Pushed[]] = [[], []];
  for (let round = 1; round <= rounds; round++) {
    one.push(await pushTo([first]));
    all.push(await pushTo(hosts));
    const [last, lastOfAll] = [one.at(-1)?.seconds, all.at(-1)?.seconds];
    console.error(`round ${round}: one host ${figure(last)} s, ${count} hosts ${figure(lastOfAll)} s; load ${load()}`);
  }
  const line = (key: keyof Pushed): string => {
    const [single, several] = [medianOf(one, key), medianOf(all, key)];
    return `one host ${figure(single)}, ${count} hosts ${figure(several)}: ${figure(ratio(several, single))}`;
  };
  const usage = (pushed: readonly Pushed[]): string => figure(medianOf(pushed, "allCpu") / medianOf(pushed, "seconds"));
  const MB = (bytes: number): string => (bytes / 1e6).toFixed(3);
  console.log(
    `${bed.near.version} (${near}) to ${bed.far.version} (${far}), ${mbit ?? "no limit of"} Mbit/s each, ${baseMB + ownMB} MB, ${content}; load ${load()}
seconds: ${line("seconds")}
read from the engine, MB: one host ${MB(readForOne)}, ${count} hosts ${MB(readForAll)}: ${figure(ratio(readForAll, readForOne))}
sent, MB: one host ${MB(medianOf(one, "bytes"))}, ${count} hosts ${MB(medianOf(all, "bytes"))}
CPU of the sender with its ssh, s: ${line("nearCpu")}
CPU of the machine, s: ${line("allCpu")}
cores busy, of ${cpus().length}: one host ${usage(one)}, ${count} hosts ${usage(all)}`,
  );
}
