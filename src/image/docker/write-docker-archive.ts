import type { Readable } from "node:stream";
import { digestOf, hexOf, type Digest } from "../digest.ts";
import { InvalidImage } from "../invalid-image.ts";
import { parseConfig } from "../config.ts";
import { streamTar, writeTar, type FileToWrite, type TarStream } from "../tar/write-tar.ts";

/** A layer that the engine has already, or one that comes along in a file, packed or not. */
export type LayerToWrite =
  | { kind: "here"; diffId: Digest }
  | { kind: "file"; diffId: Digest; path: string; blob: { size: number } };

export interface DockerArchiveToWrite {
  /** Byte for byte. */
  config: Uint8Array;
  /** Bottom first: one for each diff ID of the config. */
  layers: readonly LayerToWrite[];
  /** References, as the engine is to have them; may be none. */
  names: readonly string[];
}

/**
 * A docker archive (moby image/spec/v1.2, "Combined Image JSON + Filesystem Changeset Format") for a graph driver store or
 * Podman, with empty files in place of the layers that are there. Docker would take an archive without them, Podman not; a
 * containerd store must not be given one: it would take an empty file for an empty layer.
 *
 * Layers are named as Podman names them, by their diff ID. Throws `InvalidImage` when the layers are not those of the config.
 */
export function writeDockerArchive({ config, layers, names }: DockerArchiveToWrite): TarStream {
  const { diffIds } = parseConfig(config);
  if (layers.length !== diffIds.length || layers.some(({ diffId }, index) => diffId !== diffIds[index])) {
    throw new InvalidImage("these are not the layers of its config");
  }
  return writeTar([...describing(config, names), ...layerFiles(layers)]);
}

/** A layer on its way. */
export interface LayerToStream {
  diffId: Digest;
  /** Bytes, packed or not. */
  size: number;
  /** Its bytes, which fail at their end when they are not what they should be. */
  open: () => Promise<Readable>;
}

export interface DockerArchiveToStream {
  /** In any order, each once. */
  layers: AsyncIterable<LayerToStream>;
  /** Asked for when all layers have passed. `here`: diff IDs of the config's other layers, which the engine has already. */
  finish: () => Promise<{ config: Uint8Array; here: readonly Digest[]; names: readonly string[] }>;
}

/**
 * The same archive, of layers that are still coming. An engine unpacks an archive to its end before it looks at it, and what says
 * which image it holds comes last: one that breaks off holds none. Fails with what a layer fails with.
 */
export function streamDockerArchive({ layers, finish }: DockerArchiveToStream): Readable {
  return streamTar(
    (async function* (): AsyncGenerator<FileToWrite> {
      const passed = new Set<Digest>();
      for await (const { diffId, size, open } of layers) {
        passed.add(diffId);
        yield { path: layerName(diffId), size, open };
      }
      const { config, here, names } = await finish();
      const missing = new Set(parseConfig(config).diffIds.filter((diffId) => !passed.has(diffId)));
      for (const diffId of missing) {
        if (!here.includes(diffId)) throw new InvalidImage("these are not the layers of its config");
        yield { path: layerName(diffId), content: Buffer.alloc(0) };
      }
      yield* describing(config, names);
    })(),
  );
}

function describing(config: Uint8Array, names: readonly string[]): FileToWrite[] {
  const path = `${hexOf(digestOf(config))}.json`;
  const manifest = [{ Config: path, RepoTags: names, Layers: parseConfig(config).diffIds.map(layerName) }];
  return [
    { path: "manifest.json", content: Buffer.from(JSON.stringify(manifest)) },
    { path, content: config },
  ];
}

/** One file for each diff ID. An image may have a layer twice, and the engine may have it in one of the two places only. */
function layerFiles(layers: readonly LayerToWrite[]): FileToWrite[] {
  const files = new Map<Digest, FileToWrite>();
  for (const layer of layers) {
    const path = layerName(layer.diffId);
    if (layer.kind === "file") files.set(layer.diffId, { path, file: layer.path, size: layer.blob.size });
    else if (!files.has(layer.diffId)) files.set(layer.diffId, { path, content: Buffer.alloc(0) });
  }
  return [...files.values()];
}

function layerName(diffId: Digest): string {
  return `${hexOf(diffId)}.tar`;
}
