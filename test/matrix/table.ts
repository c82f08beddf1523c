import { DESTINATIONS, SOURCES } from "./cases.ts";
import { STATES, type Case, type Destination, type DestinationEnd, type Source, type SourceEnd } from "./ends.ts";

export interface Results {
  /** Every case that has run, and whether it went well. */
  cases: ReadonlyMap<Case, boolean>;
  sources: ReadonlyMap<string, Source>;
  destinations: ReadonlyMap<string, Destination>;
}

/** The text of docs/engines.md. No dates and no times: the same results give the same file. */
export function describeResults({ cases, sources, destinations }: Results): string {
  const cells = SOURCES.map((source) => [
    `**${source.name}**`,
    ...DESTINATIONS.map((destination) => cellOf(cases, source, destination)),
  ]);
  // In the order of the table: the maps are in the order in which the engines happened to answer.
  const opened = new Map<string, { what: string }>([...sources, ...destinations]);
  const names = new Set([...SOURCES, ...DESTINATIONS].map(({ name }) => name));
  const ends = [...names].map((name) => [name, opened.get(name)?.what ?? ""]);
  return `# Which engines, from which to which

<!-- Written by \`npm run test:matrix\`: test/matrix/table.ts -->

Each pair is tried with the receiver in several states. \`5 of 5\` says that in each of five states all of what is listed below
was seen; where it is less, the cell says in which it was not.

${markdownTable(["from ↓ to →", ...DESTINATIONS.map(({ name }) => name)], cells)}

${markdownTable(["", "is"], ends)}

## The states

An image of five layers is sent: three of base, two of its own. Before that the receiver has

${Object.values(STATES)
  .map(({ name, what }) => `- **${name}**: ${what}`)
  .join("\n")}

## What is seen in each

- The command succeeds, and its sending side writes no more than the missing layers have in gzip -6, 5 % and 64 kB.
- The receiver has the image under its name, with the digest of its config and the \`RootFS\` that the sender has.
- \`docker run\` of it prints what it should, from files of the base and of its own, and without the file that a layer takes away.
- \`docker save\` of it has every layer, with its diff ID, and every blob, with its digest.
- \`docker push\` of it to a registry that has nothing of it succeeds, and the registry has all of it then.
- When the older image has been removed, it still runs, and is saved whole.

Nothing runs in an OCI layout: there, the config, the layers, all blobs and the entries of the index are looked at, and that the
older image is whole, too. The base is there as plain blobs for \`docker load\`, and as gzip blobs for \`docker pull\`; a layout
knows no parents and unpacks nothing, so two of the states are not to be had.
`;
}

function cellOf(cases: ReadonlyMap<Case, boolean>, source: SourceEnd, destination: DestinationEnd): string {
  const own = [...cases].filter(([one]) => one.source === source && one.destination === destination);
  const failed = own.filter(([, isVerified]) => !isVerified).map(([{ state }]) => STATES[state].name);
  const count = `${own.length - failed.length} of ${own.length}`;
  return failed.length === 0 ? count : `${count}, not: ${failed.join(", ")}`;
}

function markdownTable(head: string[], rows: string[][]): string {
  const line = (cells: string[]): string => `| ${cells.join(" | ")} |`;
  return [line(head), line(head.map(() => "---")), ...rows.map(line)].join("\n");
}
