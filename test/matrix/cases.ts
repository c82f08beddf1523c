import { whyNotKind, type EngineKind } from "../testbed/engine-packages.ts";
import type { BedEngine } from "./beds.ts";
import {
  engineOnlyDestination,
  engineOnlySource,
  engineSource,
  remoteDestination,
  hostOptionDestination,
  pullingDestination,
} from "./engines.ts";
import { archiveSource, LAYOUT_STATES, layoutDestination, layoutSource } from "./files.ts";
import {
  STATES,
  type Case,
  type Destination,
  type DestinationColumn,
  type Source,
  type SourceRow,
  type State,
  type Setup,
} from "./case.ts";

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
/** The engines on the other side, if an engine cannot reach the tool. */
const ORDINARY: EngineKind[] = ["26.1", "28.5-containerd"];
const LAYOUT = "OCI layout";
const EVERY_STATE = Object.keys(STATES) as State[];

/** The states for each kind of store of a destination. */
interface States {
  containerd: readonly State[];
  other: readonly State[];
}

const ALL_STATES: States = { containerd: EVERY_STATE, other: EVERY_STATE.filter((state) => state !== "halved") };
const FEW_STATES: States = { containerd: ["empty", "loaded", "pulled"], other: ["empty", "loaded"] };

const BOTH_SOURCES: readonly SourceRow[] = [
  ...ENGINES.map(sourceOf("near", engineSource)),
  { name: LAYOUT, open: async (beds) => layoutSource(await beds.of("20.10")) },
  { name: "docker archive", open: async (beds) => archiveSource(await beds.of("20.10")) },
];

const BOTH_DESTINATIONS: readonly DestinationColumn[] = [
  ...ENGINES.map(destinationOf("far", remoteDestination, ALL_STATES)),
  { name: LAYOUT, states: LAYOUT_STATES, open: async (beds) => layoutDestination(await beds.of("20.10")) },
];

export const SETUPS = {
  /** The tool runs on both sides. */
  both: { name: "", sources: BOTH_SOURCES, destinations: BOTH_DESTINATIONS },
  /** The tool runs on the machine of the source, and connects to the destination through `system dial-stdio`. */
  push: {
    name: "push to an engine alone",
    sources: ENGINES.map(sourceOf("near", engineSource)),
    destinations: ENGINES.map(destinationOf("far", engineOnlyDestination)),
  },
  /** The tool runs on the machine of the destination, and connects to the source through `system dial-stdio`. */
  pull: {
    name: "pull from an engine alone",
    sources: ENGINES.map(sourceOf("far", engineOnlySource)),
    destinations: ENGINES.map(destinationOf("near", pullingDestination)),
  },
  /** The tool runs on both sides, on one machine, and reaches the source only through its socket. */
  from: {
    name: "from an engine that does not reach the tool",
    sources: ENGINES.map(sourceOf("far", engineSource)),
    destinations: ORDINARY.map(destinationOf("near", hostOptionDestination)),
  },
  /** The tool runs on both sides, on one machine, and reaches the destination only through its socket. */
  to: {
    name: "to an engine that does not reach the tool",
    sources: ORDINARY.map(sourceOf("near", engineSource)),
    destinations: ENGINES.map(destinationOf("far", hostOptionDestination)),
  },
} satisfies Record<string, Setup>;

export const ALL: readonly Case[] = Object.values(SETUPS).flatMap((setup: Setup) =>
  setup.sources.flatMap((source) =>
    setup.destinations.flatMap((destination) =>
      destination.states.map((state) => ({ setup, source, destination, state })),
    ),
  ),
);

/**
 * The cases of every test run: with the tool on both sides, each source, destination and state at least once, and the pairs of state and
 * store that the code distinguishes. In the other setups, each kind of store.
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
  pick("26.1 containerd", "Podman", "loaded", "push"),
  pick("28.5", "29 containerd", "pulled", "push"),
  pick("29 containerd", "28.5", "loaded", "pull"),
  pick("Podman", "28.5 containerd", "empty", "pull"),
  pick("28.5 containerd", "26.1", "empty", "from"),
  pick("29", "28.5 containerd", "pulled", "from"),
  pick("26.1", "29 containerd", "pulled", "to"),
  pick("28.5 containerd", "26.1", "loaded", "to"),
];

function sourceOf(side: "near" | "far", open: (engine: BedEngine) => Source): (kind: EngineKind) => SourceRow {
  return (kind) => ({
    name: nameOf(kind),
    whyNot: async () => await whyNotKind(kind),
    open: async (beds) => open(await beds.engine(side, kind)),
  });
}

function destinationOf(
  side: "near" | "far",
  open: (engine: BedEngine) => Destination,
  { containerd, other } = FEW_STATES,
): (kind: EngineKind) => DestinationColumn {
  return (kind) => ({
    name: nameOf(kind),
    whyNot: async () => await whyNotKind(kind),
    states: kind.endsWith("-containerd") ? containerd : other,
    open: async (beds) => open(await beds.engine(side, kind)),
  });
}

function nameOf(kind: EngineKind): string {
  return kind === "podman" ? "Podman" : kind.replace("-", " ");
}

function pick(source: string, destination: string, state: State, setup: keyof typeof SETUPS = "both"): Case {
  const found = ALL.find(
    (testCase) =>
      testCase.setup === SETUPS[setup] &&
      testCase.source.name === source &&
      testCase.destination.name === destination &&
      testCase.state === state,
  );
  if (!found) throw new Error(`there is no case ${source}, ${destination}, ${state}, ${setup}`);
  return found;
}
