import { createReadStream, createWriteStream } from "node:fs";
import { rename, rm } from "node:fs/promises";
import { basename, dirname } from "node:path";
import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { refuseAbsent } from "../image/archive/absent.ts";
import { decodeLayer } from "../image/archive/decode-layer.ts";
import type { ArchivedImage } from "../image/archive/image-archive.ts";
import { writeLoadable } from "../image/archive/loadable-manifest.ts";
import type { LayoutName } from "../image/archive/oci-layout.ts";
import { openArchive } from "../image/archive/open.ts";
import { passOn, proof } from "../image/archive/prove.ts";
import { writeDockerArchive } from "../image/archive/write-docker-archive.ts";
import { writeOciLayout } from "../image/archive/write-oci-layout.ts";
import { digestOf, hexOf, type Digest } from "../image/digest.ts";
import type { FilePlace } from "../image/place.ts";
import { manifestFor } from "../store/compose.ts";
import { partOf, removeParts } from "../store/parts.ts";
import { openSpool, type Spool } from "../store/spool.ts";
import type { LayerFile } from "../store/store.ts";
import { countLayers, type Arrival, type ArrivalOptions } from "./arrival.ts";
import { nameInFile } from "./file-name.ts";
import { explainingFor, refusePlace } from "./place-errors.ts";
import { receive, type Received } from "./receive.ts";
import { findSeedsInFile } from "./seeds-in-file.ts";
import type { Target } from "./target.ts";

/**
 * A file to be written as `docker save` does, or as a tar of an OCI layout; no engine is needed. It is written beside the one
 * that may be there, and takes its place when it has been proven.
 */
export async function fileTarget(place: FilePlace): Promise<Target> {
  const { kind, path } = place;
  await refusePlace(place);
  const parts = new Set<string>();
  const explaining = explainingFor(place);
  const written = async (name: string): Promise<ArchivedImage> => {
    await using archive = await openArchive(kind, parts.has(name) ? name : path);
    return refuseAbsent(await archive.find());
  };
  return {
    address: path,
    nameFor: (image) => nameInFile(place, image).ref,
    tidy: async () => await removeParts(dirname(path), `${basename(path)}.`),
    async arrive(options) {
      parts.add(partOf(path, options.run));
      return await explaining(arrive(place, options));
    },
    async inspect(name) {
      const { configDigest: id, diffIds } = await explaining(written(name));
      return { id, diffIds };
    },
    ...(kind !== "docker-archive" && {
      manifestOf: async (name) => (await explaining(written(name))).manifest?.descriptor.digest,
    }),
    tag: async (from) => await explaining(rename(from, path)),
    [Symbol.asyncDispose]: async () => {},
  };
}

async function arrive(place: FilePlace, options: ArrivalOptions): Promise<Arrival> {
  const { about, image, env, run, signal, onProgress } = options;
  // The file that is to be replaced.
  await using seeds = options.whyWhole === undefined ? await findSeedsInFile(place, about) : undefined;
  await using spool = await openSpool(env, run);
  const received = await receive(options, about.diffIds, spool, seeds);
  onProgress({ stage: "storing", current: 0 });
  const part = partOf(place.path, run);
  const remove = async (): Promise<void> => await rm(part, { force: true });
  try {
    const tar = await TAR[place.kind](received, nameInFile(place, image), spool);
    await pipeline(tar, createWriteStream(part, { flush: true }), { signal });
  } catch (error) {
    await remove();
    throw error;
  }
  const sizes = received.files.map(({ blob }) => blob.size);
  const counts = countLayers(
    sizes,
    sizes.map(() => true),
  );
  const { bytesFound } = received;
  return { name: part, id: digestOf(received.config), ...counts, bytesFound, [Symbol.asyncDispose]: remove };
}

type Written = (received: Received, name: LayoutName, spool: Spool) => Promise<Readable>;

const TAR: Record<FilePlace["kind"], Written> = {
  async "docker-archive"({ config, files }, { ref }, spool) {
    const layers = new Map<Digest, LayerFile>(); // one may stand in an image twice
    for (const file of files) {
      if (!layers.has(file.diffId)) layers.set(file.diffId, await unpacked(file, spool));
    }
    return writeDockerArchive({ config, layers: files.map((file) => layers.get(file.diffId) ?? file), names: [ref] });
  },
  async "oci-archive"({ config, files, manifest: sent }, name) {
    const manifest = manifestFor(config, files, sent);
    const blobs = files.map(({ path, blob }) => ({ path, digest: blob.digest, size: blob.size }));
    const loadable = writeLoadable([
      { configDigest: digestOf(config), layers: blobs.map(({ digest }) => digest), name: name.image },
    ]);
    return writeOciLayout({ config, manifest, blobs, names: [name], loadable });
  },
  async oci() {
    throw new Error("a folder is no file");
  },
};

/** Plain, as `docker save` has it: not every reader of such archives takes packed layers, or some of each. */
async function unpacked(file: LayerFile, spool: Spool): Promise<LayerFile> {
  const { diffId, path, blob } = file;
  if (blob.digest === diffId) return file;
  const to = spool.pathFor(`${hexOf(diffId)}.tar`);
  const bytes = proof({ what: `the plain layer ${diffId}`, digest: diffId });
  const plain = decodeLayer(createReadStream(path), blob.mediaType);
  await pipeline(passOn(plain, bytes), createWriteStream(to, { mode: 0o600 }));
  const { size } = bytes.finish();
  return { ...file, path: to, size, blob: { ...blob, digest: diffId, size } };
}
