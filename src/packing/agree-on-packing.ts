import { Failure } from "../output/errors.ts";
import { formatCompressOption, type CompressOption } from "./compress-option.ts";
import { CODECS, commonCodec, type Codec } from "./codecs.ts";
import type { Packing } from "./paced-packer.ts";

/** What either side has to say of how layers are packed. */
export interface CompressOptions {
  /** What the sending side was told, which decides. */
  own: CompressOption | undefined;
  /** What the receiving side was told. */
  theirs: CompressOption | undefined;
  /** Names of what the receiving side can unpack. None, as between two sides in one process: nothing is packed. */
  codecs: readonly string[];
}

type End = "sending" | "receiving";

/** The sending side's decision. Throws a `usage` Failure when an end lacks what was asked for. */
export function agreeOnPacking({ own, theirs, codecs }: CompressOptions): Packing {
  const choice = own ?? theirs ?? { how: "auto" };
  if (choice.how === "none" || codecs.length === 0) return {};
  if (choice.how === "auto") return { codec: commonCodec(codecs) };
  const codec = codecOf(choice);
  const lacks: End[] = codec === undefined ? ["sending"] : [];
  if (!codecs.includes(choice.how)) lacks.push("receiving");
  if (lacks.length > 0) throw lacking(choice, lacks);
  return { codec, level: choice.level };
}

/** Throws a `usage` Failure when this end, the sending or the receiving one, lacks what was asked for. */
export function refuseUnsupported(choice: CompressOption | undefined, end: End): void {
  if (choice === undefined || choice.how === "auto" || choice.how === "none") return;
  if (codecOf(choice) === undefined) throw lacking(choice, [end]);
}

function codecOf({ how }: CompressOption): Codec | undefined {
  return CODECS.find(({ name }) => name === how);
}

function lacking(choice: CompressOption, ends: readonly End[]): Failure {
  const { how } = choice;
  const which = ends.length > 1 ? `neither side has ${how}` : `the ${ends[0]} side has no ${how}`;
  const where = ends.length > 1 ? "both sides" : `the ${ends[0]} side`;
  const text =
    how === "zstd"
      ? {
          expected: "Node 22.15 or later on both sides, which has zstd",
          hint: `Install it on ${where}, or choose brotli or auto.`,
        }
      : { expected: `docker-over-ssh with ${how} on both sides`, hint: "Install the same version on both sides." };
  return new Failure("usage", `--compress ${formatCompressOption(choice)}: ${which}`, text);
}
