import { gzipSync } from "node:zlib";
import { chainIds, digestOf, hexOf, type Digest } from "../../../src/image/digest.ts";
import { MEDIA_TYPE, encodeManifest, type Descriptor } from "../../../src/image/manifest.ts";
import { makeTar, type TestEntry } from "./tar/make-tar.ts";
import { pseudoRandomBytes } from "../pseudo-random.ts";

export interface TestImage {
  config: Buffer;
  diffIds: Digest[];
  /** The uncompressed tars, the bottom layer first. */
  layers: Buffer[];
}

/** Creates an image with layers of these sizes in bytes. Layers of the same size are the same layer. */
export async function makeImage(sizes: number[], platform: Record<string, string> = {}): Promise<TestImage> {
  const layers = await Promise.all(
    sizes.map(async (size) => await makeTar([{ name: "file", content: pseudoRandomBytes(size, size) }])),
  );
  return { layers, ...configFor(layers, platform) };
}

export function configFor(layers: Buffer[], platform: Record<string, string> = {}): Omit<TestImage, "layers"> {
  const diffIds = layers.map((layer) => digestOf(layer));
  const config = { os: "linux", architecture: "amd64", ...platform, rootfs: { type: "layers", diff_ids: diffIds } };
  return { config: Buffer.from(JSON.stringify(config)), diffIds };
}

export function dockerManifest(config: string, layers: string[], names = ["app:v1"]): TestEntry {
  return { name: "manifest.json", content: JSON.stringify([{ Config: config, RepoTags: names, Layers: layers }]) };
}

/**
 * Saves an image like Docker 20.10: folders in the order of their v1 IDs, and the manifest last. The IDs are computed as in Go, and equal
 * those of a real `docker save` (v1-ids.test.ts). The epoch is in the daemon's time zone.
 */
export async function saveLegacy(
  { config, diffIds, layers }: TestImage,
  epoch = "1970-01-01T00:00:00Z",
): Promise<TestEntry[]> {
  const ids: string[] = [];
  const written = new Map<Digest, string>();
  const folders: { id: string; entries: TestEntry[] }[] = [];
  for (const [index, chainId] of chainIds(diffIds).entries()) {
    const diffId = diffIds[index] ?? "";
    const isTop = index === diffIds.length - 1;
    const created = isTop ? "2026-11-20T23:04:02.673144333Z" : epoch;
    const parent = ids.at(-1);
    const v1 = { container_config: V1_CONTAINER_CONFIG, created };
    const id = hexOf(
      digestOf(
        JSON.stringify({
          ...v1,
          ...(isTop && { docker_version: "20.10.24" }),
          layer_id: chainId,
          ...(parent && { parent: `sha256:${parent}` }),
        }),
      ),
    );
    const json = {
      id,
      ...(parent && { parent }),
      created,
      container_config: V1_CONTAINER_CONFIG,
      ...(isTop && { docker_version: "20.10.24", architecture: "amd64" }),
      os: "linux",
    };
    const first = written.get(diffId);
    folders.push({
      id,
      entries: [
        { name: `${id}/`, type: "directory" },
        { name: `${id}/VERSION`, content: "1.0" },
        { name: `${id}/json`, content: JSON.stringify(json) },
        first === undefined
          ? { name: `${id}/layer.tar`, content: layers[index] ?? "" }
          : { name: `${id}/layer.tar`, type: "symlink", linkname: `../${first}/layer.tar` },
      ],
    });
    ids.push(id);
    if (first === undefined) written.set(diffId, id);
  }
  const configName = `${hexOf(digestOf(config))}.json`;
  return [
    ...folders.toSorted((a, b) => (a.id < b.id ? -1 : 1)).flatMap(({ entries }) => entries),
    { name: configName, content: config },
    dockerManifest(
      configName,
      ids.map((id) => `${id}/layer.tar`),
    ),
    { name: "repositories", content: JSON.stringify({ app: { v1: ids.at(-1) } }) },
  ];
}

const V1_CONTAINER_CONFIG = {
  Hostname: "",
  Domainname: "",
  User: "",
  AttachStdin: false,
  AttachStdout: false,
  AttachStderr: false,
  Tty: false,
  OpenStdin: false,
  StdinOnce: false,
  Env: null,
  Cmd: null,
  Image: "",
  Volumes: null,
  WorkingDir: "",
  Entrypoint: null,
  OnBuild: null,
  Labels: null,
};

/** Saves an image like Podman: layers by their diff IDs, and links to them from their former names. */
export async function savePodman({ config, diffIds, layers }: TestImage): Promise<TestEntry[]> {
  const configName = `${hexOf(digestOf(config))}.json`;
  const files = new Map(diffIds.map((diffId, index) => [`${hexOf(diffId)}.tar`, layers[index] ?? Buffer.alloc(0)]));
  const links = chainIds(diffIds).flatMap((chainId, index): TestEntry[] => [
    { name: `${hexOf(chainId)}/VERSION`, content: "1.0" },
    { name: `${hexOf(chainId)}/layer.tar`, type: "symlink", linkname: `../${hexOf(diffIds[index] ?? "")}.tar` },
    {
      name: `${hexOf(chainId)}/json`,
      content: JSON.stringify({ id: hexOf(chainId), created: "2026-11-20T23:04:02Z", os: "linux" }),
    },
  ]);
  return [
    ...[...files].map(([name, content]) => ({ name, content })),
    ...links,
    { name: configName, content: config },
    dockerManifest(
      configName,
      diffIds.map((diffId) => `${hexOf(diffId)}.tar`),
      ["localhost/app:v1"],
    ),
    { name: "repositories", content: "{}" },
  ];
}

export type Pack = (layer: Buffer) => { blob: Buffer; mediaType: string };
export const plain: Pack = (blob) => ({ blob, mediaType: MEDIA_TYPE.ociLayer });
export const gzipped: Pack = (layer) => ({ blob: gzipSync(layer), mediaType: MEDIA_TYPE.ociLayerGzip });

/** Returns the blobs of an OCI layout, the descriptors of the layers, and the manifest. */
export function ociBlobs({ config, layers }: TestImage, pack: Pack) {
  const packed = layers.map(pack);
  const descriptors = packed.map(({ blob, mediaType }): Descriptor => ({
    mediaType,
    digest: digestOf(blob),
    size: blob.length,
  }));
  const manifest = encodeManifest({
    mediaType: MEDIA_TYPE.ociManifest,
    config: { mediaType: MEDIA_TYPE.ociConfig, digest: digestOf(config), size: config.length },
    layers: descriptors,
  });
  return { blobs: [config, manifest.bytes, ...packed.map(({ blob }) => blob)], descriptors, manifest };
}

/** Returns the entries of blobs in the order of their names, as engines write them. */
export function blobEntries(blobs: Buffer[]): TestEntry[] {
  const byName = new Map(blobs.map((content) => [`blobs/sha256/${hexOf(digestOf(content))}`, content]));
  return [...byName].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([name, content]) => ({ name, content }));
}

export const LAYOUT: TestEntry = { name: "oci-layout", content: '{"imageLayoutVersion": "1.0.0"}' };

export function index(manifests: unknown[]): TestEntry {
  return {
    name: "index.json",
    content: JSON.stringify({ schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex, manifests }),
  };
}

/** Saves an image like Docker from 25.0 on: uncompressed layers with a graph driver, stored blobs with the containerd store. */
export function saveOci(image: TestImage, pack: Pack): TestEntry[] {
  const { blobs, descriptors, manifest } = ociBlobs(image, pack);
  const annotations = {
    "io.containerd.image.name": "docker.io/library/app:v1",
    "org.opencontainers.image.ref.name": "v1",
  };
  return [
    { name: "blobs/", type: "directory" },
    { name: "blobs/sha256/", type: "directory" },
    ...blobEntries([...blobs, Buffer.from('{"id":"an old config","os":"linux"}')]),
    index([{ ...manifest.descriptor, annotations }]),
    dockerManifest(
      `blobs/sha256/${hexOf(digestOf(image.config))}`,
      descriptors.map(({ digest }) => `blobs/sha256/${hexOf(digest)}`),
    ),
    LAYOUT,
  ];
}
