import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import { checkTestbed } from "../testbed/check.ts";
import { osRelease } from "../testbed/packages.ts";
import { projectFolder } from "../testbed/paths.ts";
import { Beds } from "./beds.ts";
import { caseImages, type CaseImages } from "./case-image.ts";
import { ALL, SPREAD, SETUPS } from "./cases.ts";
import { STATES, type Case, type Destination, type DestinationColumn, type Source, type SourceRow } from "./case.ts";
import { send } from "./send.ts";
import { describeResults } from "./table.ts";

const everything = process.env["DOS_MATRIX"] === "all";
const wanted = everything ? ALL : SPREAD;
const reasons = await missingReasons();
const whyNot = ({ source, destination }: Case): string | undefined =>
  reasons.get(source.name) ?? reasons.get(destination.name);
const runnable = wanted.filter((testCase) => !whyNot(testCase));

const beds = new Beds();
const sources = new Map<SourceRow, Source>();
const destinations = new Map<DestinationColumn, Destination>();
/** The cases that have run, and whether they passed. */
const ran = new Map<Case, boolean>();

beforeAll(async () => {
  const open = {
    sources: [...new Set(runnable.map(({ source }) => source))],
    destinations: [...new Set(runnable.map(({ destination }) => destination))],
  };
  await Promise.all([
    ...open.sources.map(async (end) => sources.set(end, await end.open(beds))),
    ...open.destinations.map(async (end) => destinations.set(end, await end.open(beds))),
  ]);
});

afterAll(async () => {
  await beds[Symbol.asyncDispose]();
  if (!everything || ran.size < ALL.length) return;
  await writeFile(join(projectFolder, "docs/engines.md"), describeResults({ cases: ran, sources, destinations }));
});

test.for(wanted.map((testCase): [string, Case] => [titleOf(testCase), testCase]))(
  "%s",
  async ([, testCase], { skip }) => {
    skip(whyNot(testCase) !== undefined, whyNot(testCase));
    ran.set(testCase, false);
    const source = sources.get(testCase.source);
    const destination = destinations.get(testCase.destination);
    if (!source || !destination) throw new Error("source or destination is not open");
    const images = await caseImages(repositoryOf(testCase));
    onTestFinished(async () => {
      await Promise.all([source.remove(images.v2), destination.clear(images)]);
    });
    const [words, older] = await Promise.all([source.put(images.v2), destination.prepare(testCase.state, images)]);

    const copy = join(destination.folder, "sent");
    const { run, bytes } = await send(destination.line(words, images, copy), copy, destination.env);
    expect(run).toEqual({ exitCode: 0, stdout: "", stderr: expect.any(String) as string });
    expect(await destination.observe(images, older)).toEqual(destination.expected(images, older));
    const needed = bytesNeeded(testCase, images, source, destination);
    expect(bytes, `bytes sent, ${needed} are needed`).toBeLessThanOrEqual(1.05 * needed + 64_000);
    ran.set(testCase, true);
  },
);

test("the selection contains every source, destination and state, and each kind of store in the other setups", () => {
  const storeOf = ({ name }: SourceRow | DestinationColumn): string =>
    name.endsWith(" containerd") ? "containerd" : "other";
  const marks = ({ setup, source, destination, state }: Case): string[] =>
    setup === SETUPS.both
      ? [`from ${source.name}`, `to ${destination.name}`, state]
      : [`${setup.name}: from ${storeOf(source)}`, `${setup.name}: to ${storeOf(destination)}`];
  const seen = (cases: readonly Case[]): Set<string> => new Set(cases.flatMap(marks));
  expect(seen(SPREAD)).toEqual(seen(ALL));
});

function titleOf({ setup, source, destination, state }: Case): string {
  return `${setup.name}${setup.name && ": "}${source.name} → ${destination.name}, ${STATES[state].name}`;
}

function repositoryOf({ setup, source, destination, state }: Case): string {
  const [direction] = setup.name.split(" ");
  return `${direction}-${source.name}-to-${destination.name}-${state}`
    .replaceAll(" ", "-")
    .replace(/^-/, "")
    .toLowerCase();
}

/** Returns the size of the missing layers, gzipped. A layer that the receiver has only on top of other layers counts as missing. */
function bytesNeeded(
  { state }: Case,
  { v2, added }: CaseImages,
  { exportsAll }: Source,
  { takesPlain }: Destination,
): number {
  const missing = state === "complete" ? [] : state === "loaded" || state === "pulled" ? added : v2.layers;
  const layers = exportsAll ? v2.layers : missing;
  const sizes = layers.map((layer) => (exportsAll || takesPlain ? layer.plain : layer.gzip()).length);
  return sizes.reduce((all, size) => all + size, 0);
}

/** Returns the reasons why sources and destinations cannot run on this machine, by their names. */
async function missingReasons(): Promise<Map<string, string | undefined>> {
  const why = await whyNotHere();
  const reasons = new Map<string, string | undefined>();
  for (const end of wanted.flatMap(({ source, destination }) => [source, destination])) {
    if (!reasons.has(end.name)) reasons.set(end.name, why ?? (await end.whyNot?.()));
  }
  return reasons;
}

/** Returns why the matrix cannot run on this machine, in one line. */
async function whyNotHere(): Promise<string | undefined> {
  const check = await checkTestbed();
  if (!check.usable) return check.why;
  const { ID = "?" } = osRelease();
  return ID === "debian" ? undefined : `the engines are Debian's, and this is ${ID}`;
}
