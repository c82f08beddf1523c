import { DRY_RUN, PLANS } from "./conversation/features.ts";
import type { Result } from "./conversation/messages.ts";
import { platformTexts } from "./image/index-content.ts";
import { formatPlatform } from "./image/platform.ts";
import { fullName, tryReference } from "./image/reference.ts";
import { Failure } from "./output/errors.ts";
import type { Plan, PlannedBytes, PlannedLayer, TransferRole } from "./output/events.ts";
import { givenNames } from "./receive/names-to-give.ts";
import type { ReceiveOptions } from "./receive/receive-options.ts";
import type { TargetPlan } from "./receive/target.ts";
import type { SharedRequest } from "./request.ts";
import type { PeerVersion } from "./stdio-tunnel/handshake.ts";
import type { Traffic } from "./traffic.ts";

/** `--dry-run`: the code that push and pull share. One side's option counts for both, because its hello contains it. */

/** Returns whether this is a dry run. Throws a `usage` Failure if this side requests a dry run and the other side does not support it. */
export function agreeOnDryRun(
  { dryRun = false }: Pick<SharedRequest, "dryRun">,
  { peer }: { peer: PeerVersion },
): boolean {
  if (!dryRun) return peer.features.includes(DRY_RUN);
  if (peer.features.includes(PLANS)) return true;
  throw new Failure("usage", `the remote side is docker-over-ssh ${peer.tool}, which cannot make a dry run`, {
    expected: "a version with --dry-run on both sides",
    hint: "Nothing was sent. Install the same version there, or send this version to the host with --far node.",
  });
}

/** Returns the event of a dry run, from the receiver's `result`; undefined after a transfer. */
export function dryRunEvent(
  role: TransferRole,
  { names: [image], plan }: Pick<Result, "names" | "plan">,
  { program }: Pick<Traffic, "program">,
): Plan | undefined {
  if (plan === undefined) return undefined;
  const { layers, platform, platforms, store, room, bytesPerSecond, bytesProbed = 0 } = plan;
  const missing = layers.filter(({ way }) => way !== "present");
  const bytes = sumOf(missing, bytesProbed);
  const ms = bytes && bytesPerSecond ? (bytes.count / bytesPerSecond) * 1000 : undefined;
  const reference = tryReference(image);
  return {
    type: "plan",
    role,
    image: reference === undefined ? image : fullName(reference),
    platform,
    ...(platforms && { platforms }),
    layers: layers.length,
    missing: missing.length,
    ...(bytes && { bytes }),
    perLayer: layers,
    dryRun: {
      store,
      program: program ?? "command",
      room,
      ...(bytesPerSecond !== undefined && { bytesPerSecond }),
      ...(ms !== undefined && { ms }),
      ...(bytesProbed > 0 && { bytesProbed }),
    },
  };
}

/** Returns undefined if the size of a layer is not known. A layer that occurs twice is sent once. `probed`: bytes that measure the link. */
function sumOf(layers: readonly PlannedLayer[], probed: number): PlannedBytes | undefined {
  const distinct = [...new Map(layers.map((layer) => [layer.diffId, layer])).values()];
  const sizes = distinct.flatMap(({ bytes }) => bytes ?? []);
  if (sizes.length < distinct.length) return undefined;
  const count = sizes.reduce((sum, size) => sum + size.count, probed);
  return { count, isExact: probed === 0 && sizes.every(({ isExact }) => isExact) };
}

/** Returns the `result` of a dry run for the sender: the target's findings, and no received layers. */
export function plannedResult(
  { layers: missing, store, room, bytesPerSecond, bytesProbed = 0 }: TargetPlan,
  { about, names }: Pick<ReceiveOptions, "about" | "names">,
  bytesReceived: number,
): Result {
  const layers = allLayers(about.diffIds, missing);
  const platforms = platformTexts(about.index);
  const rate = {
    ...(bytesPerSecond !== undefined && { bytesPerSecond: Math.round(bytesPerSecond) }),
    ...(bytesProbed > 0 && { bytesProbed }),
  };
  return {
    names: givenNames(names),
    id: about.configDigest ?? "",
    layersSent: 0,
    layersPresent: layers.filter(({ way }) => way === "present").length,
    bytesPresent: 0,
    bytesFound: 0,
    bytesReceived,
    plan: {
      platform: formatPlatform(about.platform),
      ...(platforms && { platforms }),
      layers,
      store,
      room: [...room],
      ...rate,
    },
  };
}

/** Returns all layers of an image, bottom first. The planned ones are missing, the others present. */
function allLayers(diffIds: readonly string[], planned: readonly PlannedLayer[]): PlannedLayer[] {
  const missing = new Map(planned.map((layer) => [layer.diffId, layer]));
  return diffIds.map((diffId) => missing.get(diffId) ?? { diffId, way: "present" });
}
