import { posix } from "node:path";
import { Readable } from "node:stream";
import { gunzipSync } from "node:zlib";
import { extract } from "tar-stream";
import { sha256 } from "./case-image.ts";

/** The content of an image in an archive or a layout, with its faults. */
export interface SavedImage {
  configDigest: string | undefined;
  diffIds: string[];
  /** Missing files, and files that do not match their digests. */
  faults: string[];
}

interface Descriptor {
  mediaType: string;
  digest: string;
  size: number;
}

/** Reads all files of a tar by their paths; follows links. */
export async function readTar(archive: Buffer): Promise<Map<string, Buffer>> {
  const files = new Map<string, Buffer>();
  const links: [path: string, target: string][] = [];
  const entries = extract();
  Readable.from([archive]).pipe(entries);
  for await (const entry of entries) {
    const { name, type, linkname } = entry.header;
    const chunks: Uint8Array[] = [];
    for await (const chunk of entry) chunks.push(chunk as Uint8Array);
    if (type === "file") files.set(name, Buffer.concat(chunks));
    else if (linkname) links.push([name, type === "link" ? linkname : posix.join(posix.dirname(name), linkname)]);
  }
  for (const [path, target] of links) {
    const file = files.get(target);
    if (file) files.set(path, file);
  }
  return files;
}

/**
 * Checks the single image in the output of `docker save`, in any form. It does not use the product's reader, because a test should not trust
 * the code under test.
 */
export function checkSaved(files: Map<string, Buffer>): SavedImage {
  const faults = files.has("oci-layout") ? layoutFaults(files, manifestsOf(files)) : [];
  const manifest = files.get("manifest.json");
  if (!manifest) return { configDigest: undefined, diffIds: [], faults: [...faults, "there is no manifest.json"] };
  const images = JSON.parse(manifest.toString()) as { Config: string; Layers: string[] | null }[];
  const [{ Config, Layers } = { Config: "", Layers: null }] = images;
  if (images.length !== 1) faults.push(`it has ${images.length} images`);
  return checkImage(files, Config, Layers ?? [], faults);
}

/** Checks the image of this name in an OCI layout, or the only image when no name is given. */
export function checkLayout(files: Map<string, Buffer>, name?: string): SavedImage {
  const named = manifestsOf(files).filter(({ annotations }) => {
    const names = [annotations?.[IMAGE_NAME], annotations?.[REF_NAME]];
    return name === undefined || names.some((found) => found === name || found?.endsWith(`/${name}`));
  });
  const faults = layoutFaults(files, manifestsOf(files));
  if (named.length !== 1) faults.push(`index.json has ${named.length} images ${name ?? ""}`);
  const manifest = files.get(blobPath(named[0]?.digest));
  if (!manifest) return { configDigest: undefined, diffIds: [], faults: [...faults, "there is no manifest"] };
  const { config, layers } = JSON.parse(manifest.toString()) as { config: Descriptor; layers: Descriptor[] };
  const paths = layers.map(({ digest }) => blobPath(digest));
  return checkImage(files, blobPath(config.digest), paths, faults);
}

const IMAGE_NAME = "io.containerd.image.name";
const REF_NAME = "org.opencontainers.image.ref.name";

function checkImage(files: Map<string, Buffer>, config: string, layers: string[], faults: string[]): SavedImage {
  const file = files.get(config);
  if (!file) return { configDigest: undefined, diffIds: [], faults: [...faults, `there is no config ${config}`] };
  const { rootfs } = JSON.parse(file.toString()) as { rootfs: { diff_ids: string[] } };
  const diffIds = rootfs.diff_ids;
  if (layers.length !== diffIds.length) faults.push(`${layers.length} layers for ${diffIds.length} diff IDs`);
  for (const [index, path] of layers.entries()) {
    const layer = files.get(path);
    if (!layer) faults.push(`layer ${index} is not there: ${path}`);
    else if (sha256(unpacked(layer)) !== diffIds[index]) {
      faults.push(`layer ${index}, of ${layer.length} bytes, is not ${diffIds[index]}`);
    }
  }
  return { configDigest: sha256(file), diffIds, faults };
}

/** Returns the faults of blobs that the index leads to. */
function layoutFaults(files: Map<string, Buffer>, manifests: Descriptor[]): string[] {
  const wrong = [...files]
    .filter(([path, file]) => path.startsWith("blobs/") && blobPath(sha256(file)) !== path)
    .map(([path, file]) => `${path} has the digest ${sha256(file)}`);
  return [...wrong, ...manifests.flatMap((descriptor) => descriptorFaults(files, descriptor))];
}

function descriptorFaults(files: Map<string, Buffer>, { mediaType, digest, size }: Descriptor): string[] {
  const file = files.get(blobPath(digest));
  if (!file) return [`${digest} is not there, ${mediaType}`];
  if (file.length !== size) return [`${digest} has ${file.length} bytes, and should have ${size}`];
  if (!/manifest|index/.test(mediaType)) return [];
  const { config, layers, manifests } = JSON.parse(file.toString()) as Record<string, Descriptor | Descriptor[]>;
  return [config, layers, manifests]
    .flat()
    .filter((part) => part !== undefined)
    .flatMap((part) => descriptorFaults(files, part));
}

function manifestsOf(files: Map<string, Buffer>): (Descriptor & { annotations?: Record<string, string> })[] {
  const { manifests } = JSON.parse(files.get("index.json")?.toString() ?? "{}") as { manifests?: Descriptor[] };
  return manifests ?? [];
}

function blobPath(digest = ""): string {
  return `blobs/${digest.replace(":", "/")}`;
}

function unpacked(layer: Buffer): Buffer {
  return layer.subarray(0, 2).toString("hex") === "1f8b" ? gunzipSync(layer) : layer;
}
