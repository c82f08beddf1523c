import { existsSync } from "node:fs";
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Testbed } from "../testbed/testbed.ts";
import { dockerArchive, renamed, sha256, type CaseImages, type Image, type Layer } from "./case-image.ts";
import type { Destination, Source, State } from "./case.ts";
import { checkLayout } from "./saved-image.ts";
import { pushLine } from "./send.ts";

const LAYOUT = "a folder (OCI image layout 1.0.0), with gzip layers where it sends";

/** A folder that is an OCI layout, with gzip layers. */
export function layoutSource(bed: Testbed): Source {
  const folderOf = ({ name }: Image): string => join(bed.folder, `layout-from-${name.replace(":", "-")}`);
  return {
    what: LAYOUT,
    async put(image) {
      await writeLayout(folderOf(image), image, (layer) => layer.gzip());
      return [`oci:${folderOf(image)}:${image.name}`];
    },
    remove: async (image) => await rm(folderOf(image), { recursive: true }),
  };
}

/** A file as `docker save` writes it. */
export function archiveSource(bed: Testbed): Source {
  const fileOf = ({ name }: Image): string => join(bed.folder, `${name.replace(":", "-")}.tar`);
  return {
    what: "a file as `docker save` writes it",
    async put(image) {
      await writeFile(fileOf(image), dockerArchive(image));
      return [`docker-archive:${fileOf(image)}`];
    },
    remove: async (image) => await rm(fileOf(image)),
  };
}

/** The states of an OCI layout in a folder on the sender's machine. Its layers have no parents. */
export const LAYOUT_STATES: readonly State[] = ["empty", "loaded", "pulled", "complete"];

export function layoutDestination(bed: Testbed): Destination {
  const folderOf = ({ v2: { name } }: CaseImages): string => join(bed.folder, `layout-to-${name.split(":")[0]}`);

  const prepare = async (state: State, images: CaseImages): Promise<string | undefined> => {
    if (state === "empty") return undefined;
    const image = state === "complete" ? renamed(images.v2, `${images.v2.name}-before`) : images.v1;
    await writeLayout(folderOf(images), image, (layer) => (state === "pulled" ? layer.gzip() : layer.plain));
    return image.name;
  };

  return {
    what: LAYOUT,
    env: bed.env,
    folder: bed.folder,
    prepare,
    line(source, images, copy) {
      const pull = ["docker-over-ssh", "pull", "--to", `oci:${folderOf(images)}`, images.v2.name];
      return pushLine(source, pull, copy);
    },
    async observe(images, older) {
      const files = await readFolder(folderOf(images));
      return { image: checkLayout(files, images.v2.name), ...(older && { older: checkLayout(files, older).faults }) };
    },
    expected({ v2: { configDigest, layers } }, older) {
      const image = { configDigest, diffIds: layers.map(({ diffId }) => diffId), faults: [] };
      return { image, ...(older && { older: [] }) };
    },
    clear: async (images) => await rm(folderOf(images), { recursive: true, force: true }),
  };
}

async function writeLayout(folder: string, image: Image, bytesOf: (layer: Layer) => Buffer): Promise<void> {
  const blob = async (mediaType: string, bytes: Buffer) => {
    const digest = sha256(bytes);
    await write(join(folder, "blobs", digest.replace(":", "/")), bytes);
    return { mediaType: `application/vnd.oci.image.${mediaType}`, digest, size: bytes.length };
  };
  const config = await blob("config.v1+json", image.config);
  const layers = await Promise.all(
    image.layers.map(async (layer) => {
      const bytes = bytesOf(layer);
      return await blob(bytes === layer.plain ? "layer.v1.tar" : "layer.v1.tar+gzip", bytes);
    }),
  );
  const mediaType = "application/vnd.oci.image.manifest.v1+json";
  const manifest = await blob(
    "manifest.v1+json",
    Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, config, layers })),
  );
  const annotations = { "org.opencontainers.image.ref.name": image.name };
  const index = { schemaVersion: 2, manifests: [{ ...manifest, annotations }] };
  await write(join(folder, "index.json"), Buffer.from(JSON.stringify(index)));
  await write(join(folder, "oci-layout"), Buffer.from('{"imageLayoutVersion":"1.0.0"}'));
}

async function write(path: string, bytes: Buffer): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, bytes);
}

/** Reads all files of a folder. Returns them by their relative paths. */
async function readFolder(folder: string): Promise<Map<string, Buffer>> {
  if (!existsSync(folder)) return new Map();
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  return new Map(
    await Promise.all(
      files.map(async (path): Promise<[string, Buffer]> => [path.slice(folder.length + 1), await readFile(path)]),
    ),
  );
}
