import type { Readable } from "node:stream";
import { digestOf, hexOf, type Digest } from "../digest.ts";
import { InvalidImage } from "../invalid-image.ts";
import { parseConfig } from "../config.ts";
import { streamTar, writeTar, type FileToWrite, type TarStream } from "../tar/write-tar.ts";

/** A layer that the engine has (`present`), or a layer in a file, compressed or not. */
export type LayerToWrite =
  | { kind: "present"; diffId: Digest }
  | { kind: "file"; diffId: Digest; path: string; blob: { size: number } };

export interface DockerArchiveToWrite {
  /** Byte for byte. */
  config: Uint8Array;
  /** Bottom first: one for each diff ID of the config. */
  layers: readonly LayerToWrite[];
  /** The names of the image. May be empty. */
  names: readonly string[];
}

/**
 * Writes a docker archive (moby image/spec/v1.2, "Combined Image JSON + Filesystem Changeset Format") for a classic store or Podman, with
 * empty files in place of the layers that the engine has. Docker accepts an archive without them, Podman does not. Not for a containerd
 * store, which treats an empty file as an empty layer.
 *
 * Names layers by their diff IDs, as Podman does. Throws `InvalidImage` if the layers are not those of the config.
 */
export function writeDockerArchive({ config, layers, names }: DockerArchiveToWrite): TarStream {
  const { diffIds } = parseConfig(config);
  if (layers.length !== diffIds.length || layers.some(({ diffId }, index) => diffId !== diffIds[index])) {
    throw new InvalidImage("these are not the layers of its config");
  }
  return writeTar([...metadataFiles(config, names), ...layerFiles(layers)]);
}

/** A layer that is still arriving. */
export interface LayerToStream {
  diffId: Digest;
  /** Bytes, compressed or not. */
  size: number;
  /** Opens the layer's bytes. The stream fails at its end if they do not match. */
  open: () => Promise<Readable>;
}

export interface DockerArchiveToStream {
  /** The layers to send, in any order, each once. */
  layers: AsyncIterable<LayerToStream>;
  /** Called after all layers have been sent. `present`: diff IDs of the config's other layers, which the engine has. */
  finish: () => Promise<{ config: Uint8Array; present: readonly Digest[]; names: readonly string[] }>;
}

/**
 * Streams the same archive from layers that are still arriving. manifest.json and the config are at the end, and an engine unpacks the
 * whole archive before it reads them, so a truncated archive contains no image. The stream fails with a layer's error.
 */
export function streamDockerArchive({ layers, finish }: DockerArchiveToStream): Readable {
  return streamTar(
    (async function* (): AsyncGenerator<FileToWrite> {
      const passed = new Set<Digest>();
      for await (const { diffId, size, open } of layers) {
        passed.add(diffId);
        yield { path: layerName(diffId), size, open };
      }
      const { config, present, names } = await finish();
      const missing = new Set(parseConfig(config).diffIds.filter((diffId) => !passed.has(diffId)));
      for (const diffId of missing) {
        if (!present.includes(diffId)) throw new InvalidImage("these are not the layers of its config");
        yield { path: layerName(diffId), content: Buffer.alloc(0) };
      }
      yield* metadataFiles(config, names);
    })(),
  );
}

/** Returns the files that describe the image: manifest.json and the config. */
function metadataFiles(config: Uint8Array, names: readonly string[]): FileToWrite[] {
  const path = `${hexOf(digestOf(config))}.json`;
  const manifest = [{ Config: path, RepoTags: names, Layers: parseConfig(config).diffIds.map(layerName) }];
  return [
    { path: "manifest.json", content: Buffer.from(JSON.stringify(manifest)) },
    { path, content: config },
  ];
}

/** Returns one file for each diff ID. An image may have a layer twice, and the engine may have only one of the two. */
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
