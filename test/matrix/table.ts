import { WAYS } from "./cases.ts";
import {
  STATES,
  type Case,
  type Destination,
  type DestinationEnd,
  type Source,
  type SourceEnd,
  type Connect,
} from "./ends.ts";

export interface Results {
  /** Every case that has run, and whether it went well. */
  cases: ReadonlyMap<Case, boolean>;
  sources: ReadonlyMap<SourceEnd, Source>;
  destinations: ReadonlyMap<DestinationEnd, Destination>;
}

/** The text of docs/engines.md. No dates and no times: the same results give the same file. */
export function describeResults({ cases, sources, destinations }: Results): string {
  const ends = new Map<string, string>();
  for (const end of WAYS.both.sources) ends.set(end.name, sources.get(end)?.what ?? "");
  for (const end of WAYS.both.destinations) ends.set(end.name, destinations.get(end)?.what ?? "");
  return `# Which engines, from which to which

<!-- Written by \`npm run test:matrix\`: test/matrix/table.ts -->

Each pair is tried with the receiver in several states. \`5 of 5\` says that in each of five states all of what is listed below
was seen; where it is less, the cell says in which it was not.

## docker-over-ssh on both sides

${fromTo(cases, WAYS.both)}

${markdownTable(["", "is"], [...ends])}

## An engine alone on the remote side

There is nothing at the remote side but the engine, behind \`ssh far docker system dial-stdio\`, or \`podman system dial-stdio\`. A push to it, with
the receiver without the image, and with the older version there, in a containerd store either by load or by pull:

${fromTo(cases, WAYS.push)}

A pull from it:

${fromTo(cases, WAYS.pull)}

The sending side writes no more here than elsewhere but for what it cannot help. A push to Podman writes the missing layers unpacked, because
it takes no others. A pull gets layers as the engine gives them: of a containerd store the missing ones, as they are stored (here in gzip, as of
an image that was built or pulled); of the others all of the image, unpacked. Each is held to 5 % and 64 kB above that.

## An engine that does not reach docker-over-ssh

As that of a virtual machine: only its socket is here, for \`-H\`; it has a network of its own, with another 127.0.0.1. docker-over-ssh cannot
know that, and finds out. It is on both sides, and at the other end is an engine that it reaches. The states are those of an engine alone, and
the bytes are those of docker-over-ssh on both sides.

${notReaching(cases)}

## The states

An image of five layers is sent: three of base, two of its own. Before that the receiver has

${Object.values(STATES)
  .map(({ name, what }) => `- **${name}**: ${what}`)
  .join("\n")}

## What is seen in each

- The command succeeds, and its sending side writes no more than the missing layers have in gzip -6, 5 % and 64 kB; with an
  engine alone, what is said there.
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

function fromTo(cases: Results["cases"], way: Connect): string {
  const rows = way.sources.map((source) => [
    `**${source.name}**`,
    ...way.destinations.map((destination) => cellOf(cases, source, destination)),
  ]);
  return markdownTable(["from ↓ to →", ...way.destinations.map(({ name }) => name)], rows);
}

/** A row for each engine, as a source and as a destination. */
function notReaching(cases: Results["cases"]): string {
  const { from, to } = WAYS;
  const head = [
    "the engine",
    ...from.destinations.map(({ name }) => `from it to ${name}`),
    ...to.sources.map(({ name }) => `to it from ${name}`),
  ];
  const rows = from.sources.map((source) => [
    `**${source.name}**`,
    ...from.destinations.map((destination) => cellOf(cases, source, destination)),
    ...to.destinations
      .filter(({ name }) => name === source.name)
      .flatMap((destination) => to.sources.map((other) => cellOf(cases, other, destination))),
  ]);
  return markdownTable(head, rows);
}

function cellOf(cases: Results["cases"], source: SourceEnd, destination: DestinationEnd): string {
  const own = [...cases].filter(([one]) => one.source === source && one.destination === destination);
  const failed = own.filter(([, isVerified]) => !isVerified).map(([{ state }]) => STATES[state].name);
  const count = `${own.length - failed.length} of ${own.length}`;
  return failed.length === 0 ? count : `${count}, not: ${failed.join(", ")}`;
}

function markdownTable(head: string[], rows: string[][]): string {
  const line = (cells: string[]): string => `| ${cells.join(" | ")} |`;
  return [line(head), line(head.map(() => "---")), ...rows.map(line)].join("\n");
}
