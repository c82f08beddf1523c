import { expect, test } from "vitest";
import { chooseImage, type Candidate } from "../../../../src/image/archive/choose-image.ts";
import { asPlatform } from "../platforms.ts";
import type { Platform } from "../../../../src/image/platform.ts";

const MB = 1024 * 1024;

interface Image {
  names: string[];
  platform: Platform;
  config: Buffer;
}

/** Creates images with a config of one MB each. `used`: the bytes of buffers in memory at each read. */
function images(count: number, of: (index: number) => { names: string[]; platform: string }) {
  const used: number[] = [];
  const properties = (index: number) => ({ names: of(index).names, platform: asPlatform(of(index).platform) });
  const candidates = Array.from({ length: count }, (_, index): Candidate<Image> => ({
    id: `${index}`,
    names: properties(index).names,
    read: async () => {
      used.push(process.memoryUsage().arrayBuffers);
      return { ...properties(index), config: Buffer.alloc(MB) };
    },
  }));
  return { candidates, used };
}

test("the choice keeps only the config of the chosen image in memory", async () => {
  const { candidates, used } = images(1000, (index) => ({ names: [], platform: index === 7 ? "os/one" : "os/other" }));
  const chosen = await chooseImage(candidates, undefined, asPlatform("os/one"));
  expect(chosen).toMatchObject({ platform: asPlatform("os/one"), config: { length: MB } });
  expect(Math.max(...used) - Math.min(...used)).toBeLessThan(500 * MB);
});

test("a message lists at most ten names or platforms", async () => {
  const named = images(30, (index) => ({ names: [`app:${index}`], platform: "os/one" }));
  await expect(chooseImage(named.candidates, undefined, undefined)).rejects.toThrow(/"app:9" and 20 more$/);
  const variants = images(30, (index) => ({ names: ["app:v1"], platform: `os/${index}` }));
  await expect(chooseImage(variants.candidates, undefined, undefined)).rejects.toThrow(
    /os\/9 and 20 more: choose a platform$/,
  );
  await expect(chooseImage(variants.candidates, undefined, asPlatform("os/none"))).rejects.toThrow(
    /os\/9 and 20 more\)$/,
  );
});
