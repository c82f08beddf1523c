import type { Platform } from "../../image/platform.ts";
import { BUILDER_OPTIONS } from "./builder-options.ts";
import { InvalidValue, type OptionDefinition } from "./command-definition.ts";
import { HOST_OPTIONS, splitWords, type HostOptions } from "./host-options.ts";
import { parseStrip } from "./option-values.ts";
import { SHARED_OPTIONS, type SharedOptions } from "./shared-options.ts";

/** Values of the options of `build`. */
export interface BuildOptionValues
  extends Omit<HostOptions, "ssh">, Pick<SharedOptions, "delta" | "compress" | "bwlimit" | "host" | "timeout"> {
  tag?: readonly string[] | undefined;
  file?: string | undefined;
  target?: string | undefined;
  buildArg?: readonly Pair[] | undefined;
  label?: readonly Pair[] | undefined;
  secret?: readonly string[] | undefined;
  /** docker's option: an ssh agent for the build. The login program is `rsh`. */
  ssh?: readonly string[] | undefined;
  rsh?: readonly string[] | undefined;
  platform?: Platform | undefined;
  /** False for --no-cache */
  cache?: boolean | undefined;
  pull?: boolean | undefined;
  cacheFrom?: readonly string[] | undefined;
  network?: string | undefined;
  /** False for --no-progress */
  progress?: ProgressStyle | boolean | undefined;
  quiet?: boolean | undefined;
  json?: boolean | undefined;
  check?: boolean | undefined;
  iidfile?: string | undefined;
  metadataFile?: string | undefined;
  /** False for --no-gitignore */
  gitignore?: boolean | undefined;
  strip?: number | undefined;
  push?: boolean | undefined;
  load?: boolean | undefined;
  to?: string | undefined;
  deploy?: readonly string[] | undefined;
}

const PROGRESS = ["auto", "plain", "tty"] as const;
export type ProgressStyle = (typeof PROGRESS)[number];

const text = (given: string): string => given;

/** Options of transfers that a build also has: they concern the link, or the image that is brought back. */
const OF_TRANSFERS = /^(?:--delta|--no-delta|--compress|--bwlimit|-H|--timeout)\b/;

export const BUILD_OPTIONS: readonly OptionDefinition[] = [
  { flags: "-t, --tag <name>", description: "name of the image; may be repeated", parse: text, repeats: true },
  {
    flags: "-f, --file <path>",
    description: "the Dockerfile, which is in CONTEXT (default: CONTEXT/Dockerfile)",
  },
  { flags: "--target <stage>", description: "the stage of the Dockerfile to build" },
  {
    flags: "--build-arg <name=value>",
    description: "a build argument; without a value, the value of the environment variable; may be repeated",
    parse: parsePair,
    repeats: true,
  },
  {
    flags: "--label <name=value>",
    description: "a label of the image; may be repeated",
    parse: parsePair,
    repeats: true,
  },
  {
    flags: "--secret <spec>",
    description: "a secret for RUN --mount=type=secret: id=ID,src=FILE or id=ID,env=VARIABLE; may be repeated",
    parse: text,
    repeats: true,
  },
  {
    flags: "--ssh <spec>",
    description:
      "an ssh agent of this side for RUN --mount=type=ssh: default, or ID=SOCKET; may be repeated (the program that logs in is --rsh)",
    parse: text,
    repeats: true,
  },
  ...BUILDER_OPTIONS,
  {
    flags: "--cache-from <image>",
    description: "an image whose layers may be reused; may be repeated",
    parse: text,
    repeats: true,
  },
  { flags: "--network <mode>", description: "the network of RUN: default, none or host" },
  {
    flags: "--progress <mode>",
    description: "how the log of the build is shown: auto, plain or tty",
    choices: PROGRESS,
  },
  { flags: "--check", description: "check the Dockerfile without building; status 15 if there are warnings" },
  { flags: "--iidfile <file>", description: "write the image ID to this file" },
  { flags: "--metadata-file <file>", description: "write ID, names and digests of the image to this file, as JSON" },
  {
    flags: "--no-gitignore",
    description: "send all files if there is no .dockerignore; by default, .gitignore is respected in this case",
  },
  {
    flags: "--strip <count>",
    description: "for an archive on stdin: remove this number of leading folders from each path",
    parse: parseStrip,
  },
  {
    flags: "--push",
    description:
      "after the build, push the image from the remote side to the registries of its names, with the credentials of this side",
  },
  {
    flags: "--load",
    description: "after the build, bring the image back into the engine of this side; only missing bytes are sent",
  },
  {
    flags: "--to <location>",
    description: "after the build, write the image to docker-archive:FILE, oci:FOLDER or oci-archive:FILE on this side",
  },
  {
    flags: "--deploy <address>",
    description:
      "after the build, send the image from the remote side on to ssh://HOST, with the ssh of the remote side; may be repeated",
    parse: text,
    repeats: true,
  },
  ...HOST_OPTIONS.filter(({ flags }) => !flags.startsWith("--ssh")),
  {
    flags: "-e, --rsh <command>",
    description: 'the program that logs in, with its options, instead of ssh: "ssh -i key -p 2222"',
    parse: splitWords,
  },
  ...SHARED_OPTIONS.filter(({ flags }) => OF_TRANSFERS.test(flags)),
  {
    flags: "-q, --quiet",
    description: "print only errors, warnings and the output of the remote command, and the image ID on stdout",
  },
];

/** --build-arg, --label: a name, and its value if there is one. */
export type Pair = readonly [name: string, value: string | undefined];

function parsePair(given: string): Pair {
  const [, name = "", value] = /^([^=]+)(?:=(.*))?$/s.exec(given) ?? [];
  if (name === "") throw new InvalidValue("Expected NAME=VALUE.");
  return [name, value];
}
