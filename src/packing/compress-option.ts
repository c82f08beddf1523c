/** The lowest and the highest level of each way to compress, as its own tools count them. */
export const LEVELS = { gzip: [1, 9], brotli: [0, 11], zstd: [1, 19] } as const;

export type CodecName = keyof typeof LEVELS;

/** How layers are to be compressed for the way. */
export interface CompressOption {
  /** `auto`: the best that both sides have; `none`: not at all. */
  how: "auto" | "none" | CodecName;
  /** Just this one; left out: as hard as the link leaves time for. */
  level?: number;
}

/** What was said is no choice. */
export class InvalidCompressOption extends Error {
  override readonly name = "InvalidChoice";
}

/** Reads `auto`, `none`, `CODEC` or `CODEC:LEVEL`. Throws {@link InvalidCompressOption}. */
export function parseCompressOption(text: string): CompressOption {
  const [how = "", level, ...more] = text.split(":");
  if (how !== "auto" && how !== "none" && !isCodecName(how)) throw new InvalidCompressOption(EXPECTED);
  if (level === undefined) return { how };
  if (how === "auto" || how === "none") throw new InvalidCompressOption(`${how} has no levels.`);
  const [lowest, highest] = LEVELS[how];
  const isLevel = /^\d{1,2}$/.test(level) && Number(level) >= lowest && Number(level) <= highest;
  if (isLevel && more.length === 0) return { how, level: Number(level) };
  throw new InvalidCompressOption(`The levels of ${how} are ${lowest} to ${highest}.`);
}

/** As {@link parseCompressOption} reads it. */
export function formatCompressOption({ how, level }: CompressOption): string {
  return level === undefined ? how : `${how}:${level}`;
}

function isCodecName(word: string): word is CodecName {
  return Object.hasOwn(LEVELS, word);
}

const EXPECTED = "Expected auto, none, gzip, brotli or zstd; the last three with a level if you like, e.g. gzip:9.";
