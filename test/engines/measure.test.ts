import { writeFileSync } from "node:fs";
import { test } from "vitest";
import { buildImage } from "../testbed/build-image.ts";
import { bed, dos, why } from "./bed.ts";
import { env, layers, MB } from "./engine-only-images.ts";
function resultsIn(stdout: string): { bytesSent: number }[] {
  return stdout.split("\n").flatMap((line) => (line === "" ? [] : [JSON.parse(line)])).filter(({ type }) => type === "result");
}
test.skipIf(why)("MEASURE", async () => {
  const images = Array.from({ length: 7 }, (_, n) => `engine-only-m${n}:v1`);
  const out: string[] = [];
  for (const image of images) {
    await buildImage(bed.near, image, [...layers, { name: "shared", bytes: 10 * MB, files: 100 }, { name: "own", bytes: 1 * MB, files: 10, seed: image }]);
  }
  for (let round = 0; round < 3; round++) {
    const clear = async () => await bed.far.docker("rmi", "--force", ...images).catch(() => {});
    await clear();
    let start = performance.now();
    const run = await dos(["push", "--json", "--verbose", ...images, "ssh://far"], { env });
    out.push(`batch ${run.exitCode} ${(performance.now() - start).toFixed(0)} ms ${resultsIn(run.stdout).reduce((s, r) => s + r.bytesSent, 0)}`);
    writeFileSync(`/tmp/many-verbose-${round}.txt`, run.stderr + run.stdout);
    await clear();
    start = performance.now();
    let bytes = 0;
    for (const image of images) bytes += resultsIn((await dos(["push", "--json", image, "ssh://far"], { env })).stdout)[0]?.bytesSent ?? 0;
    out.push(`single ${(performance.now() - start).toFixed(0)} ms ${bytes}`);
  }
  writeFileSync("/tmp/many-measure.txt", out.join("\n") + "\n");
}, 170_000);
