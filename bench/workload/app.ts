import { closeSync, mkdirSync, openSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { makeContent } from "../../test/testbed/content.ts";

/** The code of a team: 20 files, 0.2 MB. */
export function plantApp(root: string, seed: string): void {
  mkdirSync(join(root, "app/dist"), { recursive: true });
  for (let index = 0; index < 20; index++) {
    const content = [...makeContent("text", 10_000, `${seed}/${index}`)];
    writeFileSync(join(root, `app/dist/${index}.js`), Buffer.concat(content));
  }
}

const MB = 1_000_000;
export const FILE = { bytes: 300 * MB, places: 16, placeBytes: 64_000 };

/** One large file, in which compressible and incompressible data alternate, one MB each. */
export function plantFile(root: string, changed: boolean): void {
  mkdirSync(join(root, "data"));
  const file = openSync(join(root, "data/index.bin"), "w");
  for (let start = 0; start < FILE.bytes; start += MB) {
    let position = start;
    for (const block of makeContent((start / MB) % 2 === 0 ? "text" : "random", MB, `file/${start}`)) {
      position += writeSync(file, block, 0, block.length, position);
    }
  }
  for (let place = 0; place < (changed ? FILE.places : 0); place++) {
    // The offset is not round, because a block of some tool might begin at a round one.
    const position = Math.floor(((place + 0.37) * FILE.bytes) / FILE.places);
    writeSync(file, Buffer.concat([...makeContent("random", FILE.placeBytes, `changed/${place}`)]), 0, null, position);
  }
  closeSync(file);
}
