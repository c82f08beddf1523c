import { whyNotKind, type EngineKind } from "../testbed/engine-packages.ts";
import { engineDestination, engineSource } from "./engine-ends.ts";
import { archiveSource, LAYOUT_STATES, layoutDestination, layoutSource } from "./file-ends.ts";
import { STATES, type Case, type DestinationEnd, type SourceEnd, type State } from "./ends.ts";

const ENGINES: EngineKind[] = [
  "20.10",
  "26.1",
  "28.5",
  "29",
  "26.1-containerd",
  "28.5-containerd",
  "29-containerd",
  "podman",
];
const LAYOUT = "OCI layout";
const EVERY_STATE = Object.keys(STATES) as State[];
const WITHOUT_BLOBS = EVERY_STATE.filter((state) => state !== "halved");

/** The rows of the table. */
export const SOURCES: readonly SourceEnd[] = [
  ...ENGINES.map((kind): SourceEnd => ({
    name: nameOf(kind),
    whyNot: async () => await whyNotKind(kind),
    open: async (beds) => engineSource(await beds.of(kind)),
  })),
  { name: LAYOUT, open: async (beds) => layoutSource(await beds.of("20.10")) },
  { name: "docker archive", open: async (beds) => archiveSource(await beds.of("20.10")) },
];

/** Its columns. */
export const DESTINATIONS: readonly DestinationEnd[] = [
  ...ENGINES.map((kind): DestinationEnd => ({
    name: nameOf(kind),
    whyNot: async () => await whyNotKind(kind),
    states: kind.endsWith("-containerd") ? EVERY_STATE : WITHOUT_BLOBS,
    open: async (beds) => await engineDestination(await beds.of(kind)),
  })),
  { name: LAYOUT, states: LAYOUT_STATES, open: async (beds) => layoutDestination(await beds.of("20.10")) },
];

export const ALL: readonly Case[] = SOURCES.flatMap((source) =>
  DESTINATIONS.flatMap((destination) => destination.states.map((state) => ({ source, destination, state }))),
);

/**
 * What every run of the tests takes: each source, destination and state at least once, and the pairs of state and store that
 * the code tells apart.
 */
export const SPREAD: readonly Case[] = [
  pick("20.10", "28.5 containerd", "loaded"),
  pick("20.10", "20.10", "restacked"),
  pick("26.1", "26.1 containerd", "pulled"),
  pick("26.1", "Podman", "empty"),
  pick("28.5", "20.10", "loaded"),
  pick("28.5", "Podman", "pulled"),
  pick("26.1 containerd", "28.5", "pulled"),
  pick("28.5 containerd", "28.5 containerd", "complete"),
  pick("28.5 containerd", "26.1", "empty"),
  pick("Podman", "28.5 containerd", "halved"),
  pick("Podman", "26.1", "loaded"),
  pick(LAYOUT, "26.1 containerd", "empty"),
  pick("docker archive", "26.1", "restacked"),
  pick("28.5 containerd", LAYOUT, "pulled"),
  pick("20.10", "29 containerd", "pulled"),
  pick("29", "29 containerd", "loaded"),
  pick("29 containerd", "29 containerd", "complete"),
  pick("29 containerd", "29", "loaded"),
  pick("29 containerd", "26.1 containerd", "empty"),
];

function nameOf(kind: EngineKind): string {
  return kind === "podman" ? "Podman" : kind.replace("-", " ");
}

function pick(source: string, destination: string, state: State): Case {
  const found = ALL.find(
    (one) => one.source.name === source && one.destination.name === destination && one.state === state,
  );
  if (!found) throw new Error(`there is no case ${source}, ${destination}, ${state}`);
  return found;
}
