import { readFileSync } from "node:fs";
import { join } from "node:path";
import { run } from "../../test/testbed/programs.ts";
import { cached } from "../workload/cache.ts";
import { prepareLayer, type Layer, type LayerName } from "../workload/layers.ts";

/**
 * Returns the size in bytes of a `zstd --patch-from` between the two images, each in the form that `docker save` writes with a graph driver:
 * uncompressed, layer after layer. This is a lower bound for comparison, because zstd needs both images on one machine.
 */
export async function patchBytes(before: LayerName[], after: LayerName[]): Promise<number> {
  const [old, young] = await Promise.all([before, after].map(async (names) => await all(names)));
  const archives = [old, young].map((layers = []) => layers.map(({ folder }) => join(folder, "layer.tar")));
  const folder = await cached(`patch-${after.join("_").replaceAll(" ", "-")}`, archives, async (folder) => {
    // The window covers the whole older image: --long=31 is 2 GB.
    const script = `cd "$0"; cat $OLD >old; cat $YOUNG | zstd -q -3 -T0 --long=31 --patch-from=old --stream-size=$SIZE | wc -c >bytes; rm old`;
    const size = (young ?? []).reduce((sum, { bytes }) => sum + bytes, 0);
    const env = { OLD: archives[0]?.join(" ") ?? "", YOUNG: archives[1]?.join(" ") ?? "", SIZE: String(size) };
    await run("sh", ["-ec", script, folder], { env });
  });
  return Number(readFileSync(join(folder, "bytes"), "utf8"));
}

async function all(names: LayerName[]): Promise<Layer[]> {
  const layers: Layer[] = [];
  for (const name of names) layers.push(await prepareLayer(name));
  return layers;
}
