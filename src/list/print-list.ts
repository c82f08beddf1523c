import type { HaveList } from "../have/have-list.ts";
import { bytes, oneLine, plural } from "../output/describe.ts";

/** Returns a list as JSON, for a program or a file. */
export function listJson(list: HaveList): string {
  return `${JSON.stringify(list)}\n`;
}

/** Returns a list as a table for people. */
export function listTable({ engine, layers, images }: HaveList): string {
  const { version, store, platform, bytesFree } = engine;
  const product = store === "podman" ? "Podman" : "Docker";
  const kind = store === "podman" ? "" : `${store === "graphdriver" ? "classic" : store} store, `;
  const free = bytesFree === undefined ? "" : `, ${bytes(bytesFree)} free`;
  const counts = `${plural(images.length, "image")}, ${plural(layers.length, "layer")}`;
  const rows = images.flatMap(({ names, platform: own, top }) =>
    names.map((name) => [oneLine(name), own, plural(depthOf(layers, top), "layer")] as const),
  );
  const widths = [0, 1].map((column) => Math.max(0, ...rows.map((row) => row[column]?.length ?? 0)));
  const lines = rows.map((row) => row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join("  "));
  return `${[`${product} ${version} (${kind}${platform})${free}: ${counts}`, ...lines].join("\n")}\n`;
}

function depthOf(layers: HaveList["layers"], top: number | undefined): number {
  let depth = 0;
  for (let at = top; at !== undefined; at = layers[at]?.on) depth += 1;
  return depth;
}
