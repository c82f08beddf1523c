import { bytes, duration, plural } from "./describe.ts";
import type { DryRun, Plan, PlannedBytes, PlannedLayer, PlannedRoom } from "./events.ts";

/** Puts the plan of a dry run into words for people, line by line. `~` marks an estimate. */
export function dryRunLines(plan: Plan, dryRun: DryRun): string[] {
  const { image, platform, platforms = [platform], layers, missing = layers, perLayer = [] } = plan;
  return [
    `${image} for ${platforms.join(", ")}: ${layers - missing} of ${plural(layers, "layer")} already present`,
    ...perLayer.filter(({ way }) => way !== "present").map(layerText),
    ...(dryRun.bytesProbed === undefined ? [] : [`  to measure the link: ~${bytes(dryRun.bytesProbed)}`]),
    `to send: ${amount(plan.bytes)}${timeText(dryRun)}`,
    ...dryRun.room.map(roomText),
    `receiver: ${STORE[dryRun.store]}; remote side: ${PROGRAM[dryRun.program]}`,
  ];
}

function layerText({ diffId, way, bytes: size, deltaBase }: PlannedLayer): string {
  const how = way === "whole" ? "whole" : `by delta${deltaBase === undefined ? "" : ` from ${deltaBase}`}`;
  return `  layer ${diffId.slice("sha256:".length).slice(0, 12)}: ${amount(size)} ${how}`;
}

function amount(size: PlannedBytes | undefined): string {
  return size === undefined ? "an unknown size" : `${size.isExact ? "" : "~"}${bytes(size.count)}`;
}

function timeText({ ms, bytesPerSecond }: DryRun): string {
  if (ms === undefined || bytesPerSecond === undefined) return "";
  return `, ${duration(ms)} at ${bytes(bytesPerSecond)} a second`;
}

function roomText({ disk, needed, free }: PlannedRoom): string {
  const needs = needed === undefined ? "an unknown size" : `at least ${bytes(needed)}`;
  return `disk of ${DISK[disk]}: ${needs} needed, ${free === undefined ? "free space unknown" : `${bytes(free)} free`}`;
}

const DISK: Record<PlannedRoom["disk"], string> = {
  engine: "the receiving engine",
  cache: "the receiver's cache folder",
  target: "the target",
};

const STORE: Record<DryRun["store"], string> = {
  graphdriver: "an engine with a classic store",
  containerd: "an engine with a containerd store",
  podman: "Podman",
  layout: "an OCI layout",
  archive: "an archive",
  stream: "an archive that is streamed",
};

const PROGRAM: Record<DryRun["program"], string> = {
  installed: "docker-over-ssh, installed there",
  node: "docker-over-ssh, sent to the Node there",
  container: "docker-over-ssh, sent into a container",
  "node-sent": "docker-over-ssh, sent with Node",
  engine: "the engine alone",
  command: "docker-over-ssh, started by the command",
  none: "a file or a folder",
};
