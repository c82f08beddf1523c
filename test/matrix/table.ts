import { SETUPS } from "./cases.ts";
import {
  STATES,
  type Case,
  type Destination,
  type DestinationColumn,
  type Source,
  type SourceRow,
  type Setup,
} from "./case.ts";

export interface Results {
  /** The cases that have run, and whether they passed. */
  cases: ReadonlyMap<Case, boolean>;
  sources: ReadonlyMap<SourceRow, Source>;
  destinations: ReadonlyMap<DestinationColumn, Destination>;
}

/** Writes docs/engines.md without dates and times, so that the same results give the same file. */
export function describeResults({ cases, sources, destinations }: Results): string {
  const ends = new Map<string, string>();
  for (const end of SETUPS.both.sources) ends.set(end.name, sources.get(end)?.what ?? "");
  for (const end of SETUPS.both.destinations) ends.set(end.name, destinations.get(end)?.what ?? "");
  return `# Tested engines

<!-- Written by \`npm run test:matrix\`: test/matrix/table.ts -->

Each pair is tested with the receiver in several [states](#the-states). \`5 of 5\` means that all [checks](#the-checks) passed in each of
five states. Otherwise, the cell names the states that failed.

## docker-over-ssh on both sides

${fromTo(cases, SETUPS.both)}

${markdownTable(["", "is"], [...ends])}

## An engine alone on the remote side

The remote side has only the engine, behind \`ssh far docker system dial-stdio\` or \`podman system dial-stdio\`. A push to it, when the receiver
has no layer of the image, and when it has the older version (in a containerd store: by load, and by pull):

${fromTo(cases, SETUPS.push)}

A pull from it:

${fromTo(cases, SETUPS.pull)}

The limits for the bytes sent differ from the first table in two cases. A push to Podman sends the missing layers uncompressed, because Podman
accepts no others. A pull gets layers as the engine exports them: a containerd store exports the missing layers as stored (here gzip, as after
a build or a pull); other stores export the whole image uncompressed. The limit is 5 % and 64 kB above that.

## An engine that does not reach docker-over-ssh

For example the engine of a virtual machine: \`-H\` names its socket, but the engine has its own network with another 127.0.0.1.
docker-over-ssh detects that. It runs on both sides, and the engine of the other side can reach it. The states are those of an engine alone,
and the limits for the bytes those of docker-over-ssh on both sides.

${notReaching(cases)}

## The states

The image has five layers: three of a base image, two of its own. Before the transfer, the receiver has

${Object.values(STATES)
  .map(({ name, what }) => `- **${name}**: ${what}`)
  .join("\n")}

## The checks

- The command succeeds, and the sender sends at most the size of the missing layers with gzip -6, plus 5 % and 64 kB. (With an engine alone,
  the limits named there.)
- The receiver has the image under its name, with the config digest and the \`RootFS\` of the sender's image.
- \`docker run\` prints the expected text from files of the base and of the image's own layers, and does not see a file that a layer deletes.
- \`docker save\` exports every layer with its diff ID, and every blob with its digest.
- \`docker push\` to a registry without the image succeeds, and the registry then has the whole image.
- After the older image is removed, the image still runs, and \`docker save\` still exports all of it.

An OCI layout runs nothing. The checks there cover the config, the layers, all blobs, the entries of the index, and that the older image is
still complete. "By load" means uncompressed blobs there, and "by pull" gzip blobs. A layout knows no parents and unpacks nothing, so
two of the states do not exist for it.
`;
}

function fromTo(cases: Results["cases"], setup: Setup): string {
  const rows = setup.sources.map((source) => [
    `**${source.name}**`,
    ...setup.destinations.map((destination) => cellOf(cases, source, destination)),
  ]);
  return markdownTable(["from ↓ to →", ...setup.destinations.map(({ name }) => name)], rows);
}

/** Returns a row for each engine, as a source and as a destination. */
function notReaching(cases: Results["cases"]): string {
  const { from, to } = SETUPS;
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

function cellOf(cases: Results["cases"], source: SourceRow, destination: DestinationColumn): string {
  const own = [...cases].filter(([one]) => one.source === source && one.destination === destination);
  const failed = own.filter(([, isVerified]) => !isVerified).map(([{ state }]) => STATES[state].name);
  const count = `${own.length - failed.length} of ${own.length}`;
  return failed.length === 0 ? count : `${count}, not: ${failed.join(", ")}`;
}

function markdownTable(head: string[], rows: string[][]): string {
  const line = (cells: string[]): string => `| ${cells.join(" | ")} |`;
  return [line(head), line(head.map(() => "---")), ...rows.map(line)].join("\n");
}
