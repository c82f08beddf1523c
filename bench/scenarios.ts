import type { LayerName } from "./workload/layers.ts";

/** The layers that the receiver has and the layers that are sent, each with the bottom layer first. */
export interface Scenario {
  name: string;
  title: string;
  /** The layers of app:v1, which the receiver has. If empty, the receiver has nothing. */
  before: LayerName[];
  /** The layers of app:v2, which is sent. */
  after: LayerName[];
}

const V1: LayerName[] = ["base", "runtime", "modules", "app"];
/** A second image, so that the program is not tuned for a single image. */
const OTHER_V1: LayerName[] = ["base", "runtime", "other-modules", "app"];

export const SCENARIOS: Scenario[] = [
  { name: "cold", title: "the receiver has nothing", before: [], after: V1 },
  {
    name: "larger",
    title: "the receiver has nothing, and the image is twice as large",
    before: [],
    after: [...V1, "base-upgraded again", "runtime again", "modules-bumped again", "app-changed again"],
  },
  { name: "nothing", title: "nothing changed", before: V1, after: V1 },
  {
    name: "app",
    title: "app layer changed, 0.2 MB",
    before: V1,
    after: ["base", "runtime", "modules", "app-changed again"],
  },
  {
    name: "deps",
    title: "3 dependencies bumped",
    before: V1,
    after: ["base", "runtime", "modules-bumped again", "app"],
  },
  {
    name: "rebuilt",
    title: "all rebuilt, same contents",
    before: V1,
    after: ["base again", "runtime again", "modules again", "app again"],
  },
  {
    name: "base",
    title: "base upgraded below the same app",
    before: V1,
    after: ["base-upgraded", "runtime", "modules", "app"],
  },
  {
    name: "file",
    title: "1 MB changed in a file of 300 MB",
    before: ["base", "file"],
    after: ["base", "file-changed again"],
  },
  {
    name: "other-deps",
    title: "another image, 3 dependencies bumped",
    before: OTHER_V1,
    after: ["base", "runtime", "other-modules-bumped again", "app"],
  },
  {
    name: "other-rebuilt",
    title: "another image, all rebuilt, same contents",
    before: OTHER_V1,
    after: ["base again", "runtime again", "other-modules again", "app again"],
  },
];

/** Groups scenarios that need the same state of the receiver. */
export function byBefore(scenarios: Scenario[]): Scenario[][] {
  const groups = new Map<string, Scenario[]>();
  for (const scenario of scenarios) {
    const key = scenario.before.join();
    groups.set(key, [...(groups.get(key) ?? []), scenario]);
  }
  return [...groups.values()];
}
