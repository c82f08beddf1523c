import { readFile } from "node:fs/promises";
import { Failure, messageOf } from "../../output/errors.ts";
import { InvalidValue, type OptionDefinition, type Words } from "./command-definition.ts";
import { atLeastOne } from "./image-list.ts";
import { isAddress } from "./read-words.ts";

/** Values of the options for several hosts. */
export interface SeveralHostsOptions {
  hostsFile?: string | undefined;
  parallel?: number | undefined;
  relay?: boolean | undefined;
}

/** Maximum number of hosts at a time: each needs a login, and memory for its link. */
const MAX_PARALLEL = 64;

export const SEVERAL_HOSTS_OPTIONS: readonly OptionDefinition[] = [
  {
    flags: "--hosts-file <file>",
    description:
      "also send to the hosts that a file names, one per line: ssh://[USER@]HOST[:PORT], or HOST alone; # begins a comment",
  },
  {
    flags: "--parallel <number>",
    description: "with several hosts: number of hosts to send to at a time (default: 4)",
    parse: parseParallel,
  },
  {
    flags: "--relay",
    description:
      'with several hosts: send the images once, to the first host, which passes them on to the others by its own ssh; for a slow uplink. It needs docker-over-ssh or Node there, and keys there for the other hosts, or your agent (ForwardAgent, or --ssh "ssh -A")',
  },
];

function parseParallel(text: string): number {
  const number = Number(text);
  if (/^\d+$/.test(text) && number >= 1 && number <= MAX_PARALLEL) return number;
  throw new InvalidValue(`Expected a number from 1 to ${MAX_PARALLEL}.`);
}

/**
 * Reads the words of a push to the hosts of a file: images, followed by addresses of further hosts. Throws a `usage` Failure.
 *
 * @param listed the images, if an option has named them; all words are addresses in this case
 */
export async function wordsWithHosts(
  words: readonly string[],
  file: string,
  listed?: readonly string[],
): Promise<Words> {
  const hosts = await readHosts(file);
  const end = words.findIndex(isAddress);
  const first = listed !== undefined ? 0 : end === -1 ? words.length : end;
  const [images, addresses] = [listed ?? words.slice(0, first), words.slice(first)];
  const stray = addresses.find((word) => !isAddress(word)) ?? images.find((word) => word === "--");
  if (stray !== undefined) {
    throw new Failure("usage", `--hosts-file names hosts, but \`${stray}\` is neither an image nor a host`, {
      expected: "images, followed by addresses of further hosts: IMAGE... [ssh://HOST...]",
      hint: "Omit the command or --hosts-file.",
    });
  }
  return { images: atLeastOne(images), command: [...new Set([...addresses, ...hosts])] };
}

async function readHosts(file: string): Promise<string[]> {
  const text = await readFile(file, "utf8").catch((error: unknown) => {
    throw new Failure("usage", `--hosts-file ${file} cannot be read: ${messageOf(error)}`, {
      expected: "a file with one host per line",
      hint: "Check the path.",
      cause: error,
    });
  });
  const lines = text.split("\n").map((line) => line.replace(/(?:^|\s)#.*$/, "").trim());
  const hosts = lines.filter((line) => line !== "").map((line) => (isAddress(line) ? line : `ssh://${line}`));
  if (hosts.length > 0) return hosts;
  throw new Failure("usage", `--hosts-file ${file} does not name a host`, {
    expected: "a file with one host per line",
    hint: "For instance ssh://deploy@example.com",
  });
}
