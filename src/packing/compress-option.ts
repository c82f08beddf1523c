/** The lowest and the highest level of each codec. */
export const LEVELS = { gzip: [1, 9], brotli: [0, 11], zstd: [1, 19] } as const;

export type CodecName = keyof typeof LEVELS;

/** The value of `--compress`: how to pack layers for the transfer. */
export interface CompressOption {
  /** `auto`: with the best codec that both sides have; `none`: not at all. */
  how: "auto" | "none" | CodecName;
  /** The codec's level. Default: as strong as the link allows without delay. */
  level?: number;
}

/** Thrown for a malformed `--compress`. The message contains the expected form. */
export class InvalidCompressOption extends Error {
  override readonly name = "InvalidCompressOption";
}

/** Parses `auto`, `none`, `CODEC` or `CODEC:LEVEL`. Throws {@link InvalidCompressOption}. */
export function parseCompressOption(text: string): CompressOption {
  const [how = "", level, ...more] = text.split(":");
  if (how !== "auto" && how !== "none" && !isCodecName(how)) throw new InvalidCompressOption(EXPECTED);
  if (level === undefined) return { how };
  if (how === "auto" || how === "none") throw new InvalidCompressOption(`Expected ${how} without a level.`);
  const [lowest, highest] = LEVELS[how];
  const isLevel = /^\d{1,2}$/.test(level) && Number(level) >= lowest && Number(level) <= highest;
  if (isLevel && more.length === 0) return { how, level: Number(level) };
  throw new InvalidCompressOption(`Expected a level of ${how} from ${lowest} to ${highest}.`);
}

/** Formats an option as {@link parseCompressOption} parses it. */
export function formatCompressOption({ how, level }: CompressOption): string {
  return level === undefined ? how : `${how}:${level}`;
}

function isCodecName(word: string): word is CodecName {
  return Object.hasOwn(LEVELS, word);
}

const EXPECTED = "Expected auto, none, gzip, brotli or zstd; the last three optionally with a level, e.g. gzip:9.";
