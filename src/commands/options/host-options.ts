import { InvalidReference, parseReference, type Reference } from "../../image/reference.ts";
import { Failure } from "../../output/errors.ts";
import { REMOTE_PROGRAMS, type RemoteProgram } from "../../output/remote-programs.ts";
import type { HostAddress, HostConnection } from "../../request.ts";
import { InvalidValue, type OptionDefinition } from "./command-definition.ts";

/** An official image of Node, which is small and supports zstd (Node 22.15 and later). */
const DEFAULT_IMAGE = "node:24.11.1-alpine";

/** --far auto: the best program first. Node is sent only on request, or if a person answers a question on the terminal with yes. */
const AUTO = REMOTE_PROGRAMS.filter((program) => program !== "node-sent");
const CHOICES: readonly ("auto" | RemoteProgram)[] = ["auto", ...REMOTE_PROGRAMS];

/** Values of the options for a remote side that this side starts through a login. */
export interface HostOptions {
  sudo?: boolean | undefined;
  ssh?: readonly string[] | undefined;
  far?: "auto" | RemoteProgram | undefined;
  farImage?: Reference | undefined;
  farPath?: readonly string[] | undefined;
  /** This process has a terminal, on which it may ask whether to send Node. */
  mayPrompt?: boolean | undefined;
}

export const HOST_OPTIONS: readonly OptionDefinition[] = [
  {
    flags: "--far <program>",
    description:
      "with ssh://HOST: the program that runs the remote side. auto (the default) uses the first of these that works there: installed, an installed docker-over-ssh; node, the host's Node, to which this docker-over-ssh is sent; container, the same in a container of --far-image; engine, the engine alone, to which layers are sent whole. node-sent also sends Node, about 40 MB, once; on a terminal, auto asks whether to do this before it uses the engine alone, but not with --quiet, --no-progress or --json, or if CI is set",
    choices: CHOICES,
  },
  {
    flags: "--far-image <image>",
    description: `with ssh://HOST: an image with Node for a remote side in a container (default: ${DEFAULT_IMAGE}); this side sends it if the remote engine cannot pull it`,
    parse: parseImage,
  },
  {
    flags: "--far-path <folder>",
    description:
      "with ssh://HOST: the absolute path of a remote folder that is searched for programs first; may be repeated",
    parse: parseFolder,
    repeats: true,
  },
  {
    flags: "--ssh <command>",
    description: 'the program that logs in, with its options, instead of ssh: "ssh -i key -p 2222"',
    parse: splitWords,
  },
  {
    flags: "--sudo",
    description: "with ssh://HOST: run the remote side through sudo, which may ask for a password on the terminal",
  },
];

/** The options of the login. */
export const LOGIN_OPTIONS = HOST_OPTIONS.filter(({ flags }) => /^--(?:ssh|sudo|far-path)\b/.test(flags));

/** Creates a connection from an address and its options. Throws a `usage` Failure. */
export function hostConnection(
  given: string,
  address: HostAddress,
  options: HostOptions,
  env: NodeJS.ProcessEnv,
): HostConnection {
  const { sudo = false, farImage, farPath = [], mayPrompt = false } = options;
  const ssh = options.ssh ?? fromEnvironment("DOCKER_OVER_SSH_SSH", splitWords, env) ?? ["ssh"];
  const far = options.far ?? fromEnvironment("DOCKER_OVER_SSH_FAR", chosen, env) ?? "auto";
  const auto = mayPrompt ? REMOTE_PROGRAMS : AUTO;
  const programs = far === "auto" ? auto : [far];
  // The image has about 50 MB, so it is not sent over a link of unknown speed unless an option requests it.
  const isImageRequested = farImage !== undefined || far === "container";
  return {
    kind: "host",
    given,
    address,
    sudo,
    ssh,
    programs,
    image: farImage ?? parseReference(DEFAULT_IMAGE),
    isImageRequested,
    asksForNode: far === "auto",
    paths: farPath,
  };
}

/** Returns the names of the given options, for messages. */
export function givenHostOptions({ sudo, far, farImage, farPath, ssh }: HostOptions): string[] {
  const given = { "--sudo": sudo, "--far": far, "--far-image": farImage, "--far-path": farPath, "--ssh": ssh };
  return Object.entries(given).flatMap(([name, value]) => (value === undefined || value === false ? [] : [name]));
}

function fromEnvironment<T>(name: string, parse: (text: string) => T, env: NodeJS.ProcessEnv): T | undefined {
  const text = env[name];
  if (text === undefined || text === "") return undefined;
  try {
    return parse(text);
  } catch (error) {
    if (!(error instanceof InvalidValue)) throw error;
    throw new Failure("usage", `${name} is ${JSON.stringify(text)}`, {
      expected: error.expected,
      hint: "Correct the variable, or unset it.",
    });
  }
}

function chosen(text: string): "auto" | RemoteProgram {
  const choice = CHOICES.find((candidate) => candidate === text);
  if (choice !== undefined) return choice;
  throw new InvalidValue(`Expected one of ${CHOICES.join(", ")}.`);
}

/** --far-image */
export function parseImage(text: string): Reference {
  try {
    return parseReference(text);
  } catch (error) {
    throw error instanceof InvalidReference
      ? new InvalidValue(`Expected the name of an image: ${error.message}.`)
      : error;
  }
}

/** --far-path. The path is passed to the remote shell in quotes. */
export function parseFolder(text: string): string {
  if (/^\/[^'\\\n!:]*$/.test(text)) return text;
  throw new InvalidValue(
    "Expected an absolute path (no shell expands ~ there), without quotes, backslash, colon or exclamation mark.",
  );
}

/** --ssh. Splits a command into words as rsync does for -e: at spaces, outside of single and double quotes. */
export function splitWords(text: string): string[] {
  const words = Array.from(text.matchAll(/(?:[^\s"']|"[^"]*"|'[^']*')+/g), ([word]) =>
    word.replaceAll(/"([^"]*)"|'([^']*)'/g, (_, double?: string, single?: string) => double ?? single ?? ""),
  );
  const left = text.replaceAll(/"[^"]*"|'[^']*'/g, "");
  if (words.length > 0 && !/["']/.test(left)) return words;
  throw new InvalidValue("Expected a program and its options, with quotes in pairs.");
}
