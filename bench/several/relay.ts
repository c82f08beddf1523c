import { execa } from "execa";
import { FIRST_HOST, HOST_OPTIONS, startRelayHosts } from "../../test/testbed/relay-hosts.ts";
import { startTestbed } from "../../test/testbed/start.ts";
import { ratio } from "../statistics.ts";
import { figure } from "../table.ts";
import { buildImages, load } from "./pushes.ts";
import type { SeveralOptions } from "./several.ts";

/** Pushes an image over one uplink to one host, to three hosts by relay, and to three hosts directly. Each host has its own engine. */
export async function measureRelay(options: SeveralOptions): Promise<void> {
  const { baseMB, ownMB, content, mbit, near, far, args } = options;
  await using bed = await startTestbed({ near: { kind: near }, far: { kind: far } });
  await using further = await startTestbed({ near: { kind: far }, far: { kind: far } });
  const engines = { b: further.near, c: further.far };
  await using hosts = await startRelayHosts(bed, engines);
  const [image = ""] = await buildImages(bed, { ...options, count: 1 });
  const env = { ...bed.env, ...hosts.env };
  const words = [...HOST_OPTIONS, ...args, image, FIRST_HOST];

  const push = async (to: readonly string[]): Promise<{ seconds: number; bytes: number }> => {
    for (const engine of [bed.far, ...Object.values(engines)]) {
      await engine.docker("rmi", "--force", image).catch(() => {}); // missing in the first round
      await engine.docker("image", "prune", "--force", "--all");
    }
    await bed.limitRate(mbit);
    const [wire, start] = [await bed.countWire(), performance.now()];
    await execa("docker-over-ssh", ["push", ...to], { env, stdin: "ignore" });
    const seconds = (performance.now() - start) / 1000;
    const { toFar: bytes } = await wire();
    await bed.limitRate(undefined);
    console.error(`${figure(seconds)} s, ${figure(bytes / 1e6)} MB; load ${load()}`);
    return { seconds, bytes };
  };
  const byRelay = ["--relay", ...words, "ssh://b", "ssh://c"];
  await bed.limitRate(undefined);
  await push(byRelay); // this sends docker-over-ssh itself to the host
  const one = await push(words);
  const relayed = await push(byRelay);
  const direct = await push([...words, "ssh://b@login", "ssh://c@login"]);
  const line = (key: "seconds" | "bytes", unit = 1): string =>
    [
      `one host ${figure(one[key] / unit)}`,
      `three by relay ${figure(relayed[key] / unit)} (${figure(ratio(relayed[key], one[key]))})`,
      `three from here ${figure(direct[key] / unit)} (${figure(ratio(direct[key], one[key]))})`,
    ].join(", ");
  console.log(
    `${bed.near.version} (${near}) to ${bed.far.version} (${far}), ${mbit ?? "no limit of"} Mbit/s, ${baseMB + ownMB} MB, ${content}; load ${load()}
seconds: ${line("seconds")}
uplink, MB with all headers: ${line("bytes", 1e6)}`,
  );
}
