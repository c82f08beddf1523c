import { Failure } from "../output/errors.ts";
import { CODECS, commonCodec, type Codec } from "./codecs.ts";
import { formatCompressOption, type CompressOption } from "./compress-option.ts";
import type { Packing } from "./paced-packer.ts";

/** The two sides' requests for the packing of layers. */
export interface CompressOptions {
  /** `--compress` of the sender, which takes precedence. */
  sender: CompressOption | undefined;
  /** `--compress` of the receiver. */
  receiver: CompressOption | undefined;
  /** The names of the codecs that the receiver can unpack. Empty for two sides in one process, between which nothing is packed. */
  codecs: readonly string[];
}

type Side = "sending" | "receiving";

/** Returns the sender's decision. Throws a `usage` Failure if a side lacks the requested codec. */
export function agreeOnPacking({ sender, receiver, codecs }: CompressOptions): Packing {
  const option = sender ?? receiver ?? { how: "auto" };
  if (option.how === "none" || codecs.length === 0) return {};
  if (option.how === "auto") return { codec: commonCodec(codecs) };
  const codec = codecOf(option);
  const lacking: Side[] = codec === undefined ? ["sending"] : [];
  if (!codecs.includes(option.how)) lacking.push("receiving");
  if (lacking.length > 0) throw unsupported(option, lacking);
  return { codec, level: option.level };
}

/** Throws a `usage` Failure if this side lacks the requested codec. */
export function refuseUnsupported(option: CompressOption | undefined, side: Side): void {
  if (option === undefined || option.how === "auto" || option.how === "none") return;
  if (codecOf(option) === undefined) throw unsupported(option, [side]);
}

function codecOf({ how }: CompressOption): Codec | undefined {
  return CODECS.find(({ name }) => name === how);
}

function unsupported(option: CompressOption, sides: readonly Side[]): Failure {
  const { how } = option;
  const which = sides.length > 1 ? `neither side has ${how}` : `the ${sides[0]} side has no ${how}`;
  const where = sides.length > 1 ? "both sides" : `the ${sides[0]} side`;
  const text =
    how === "zstd"
      ? {
          expected: "Node 22.15 or later on both sides, which has zstd",
          hint: `Install it on ${where}, or choose brotli or auto.`,
        }
      : { expected: `docker-over-ssh with ${how} on both sides`, hint: "Install the same version on both sides." };
  return new Failure("usage", `--compress ${formatCompressOption(option)}: ${which}`, text);
}
