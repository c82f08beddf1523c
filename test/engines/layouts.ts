import { digestOf } from "../../src/image/digest.ts";
import { withDescriptor, MEDIA_TYPE, encodeManifest } from "../../src/image/manifest.ts";
import type { Image } from "../matrix/case-image.ts";
import { blobEntries, gzipped, index, LAYOUT, ociBlobs, type TestImage } from "../unit/image/make-image.ts";
import type { TestEntry } from "../unit/image/tar/make-tar.ts";

/** Converts an image that runs to the form from which layouts are made. */
export function asTest({ config, layers }: Image): TestImage {
  return { config, diffIds: layers.map(({ diffId }) => diffId), layers: layers.map(({ plain }) => plain) };
}

/**
 * Writes a layout of one image for several platforms as buildx does: an index of their manifests and of a provenance attestation for each
 * platform (moby/buildkit docs/attestations/attestation-storage.md), with the annotation that names the image for `docker load`.
 *
 * @param images by `os/arch`
 * @param absent platforms that the index names but whose blobs are missing, as after a `docker pull`
 */
export function attestedLayout(
  images: Record<string, TestImage>,
  name: string,
  absent: readonly string[] = [],
): TestEntry[] {
  const variants = Object.entries(images).map(([platform, image]) => {
    const [os, architecture] = platform.split("/");
    const { blobs, descriptor } = asBuildx(image);
    const entry = { ...descriptor, platform: { os, architecture } };
    return [{ blobs, entry }, attestationOf(entry.digest)].map((one) =>
      absent.includes(platform) ? { ...one, blobs: [] } : one,
    );
  });
  const [tag] = name.split(":").slice(-1);
  const all = [...variants.map(([image]) => image), ...variants.map(([, attestation]) => attestation)].flatMap(
    (one) => one ?? [],
  );
  const nested = Buffer.from(index(all.map(({ entry }) => entry)).content ?? "");
  const annotations = {
    "io.containerd.image.name": `docker.io/library/${name}`,
    "org.opencontainers.image.ref.name": tag,
  };
  const descriptor = { mediaType: MEDIA_TYPE.ociIndex, digest: digestOf(nested), size: nested.length, annotations };
  return [...blobEntries([nested, ...all.flatMap(({ blobs }) => blobs)]), index([descriptor]), LAYOUT];
}

/** Creates the blobs of one variant. The manifest is formatted differently than by docker-over-ssh. */
export function asBuildx(image: TestImage) {
  const { blobs, manifest } = ociBlobs(image, gzipped);
  const bytes = Buffer.from(JSON.stringify(JSON.parse(manifest.bytes.toString()), null, 2));
  const { descriptor } = withDescriptor({ mediaType: manifest.descriptor.mediaType, bytes });
  return { blobs: [...blobs.filter((blob) => blob !== manifest.bytes), bytes], descriptor };
}

function attestationOf(digest: string) {
  const statement = Buffer.from(JSON.stringify({ predicateType: "https://slsa.dev/provenance/v1", subject: digest }));
  const unknown = { os: "unknown", architecture: "unknown" };
  const rootfs = { type: "layers", diff_ids: [digestOf(statement)] };
  const config = Buffer.from(JSON.stringify({ ...unknown, config: {}, rootfs }));
  const manifest = encodeManifest({
    mediaType: MEDIA_TYPE.ociManifest,
    config: { mediaType: MEDIA_TYPE.ociConfig, digest: digestOf(config), size: config.length },
    layers: [{ mediaType: "application/vnd.in-toto+json", digest: digestOf(statement), size: statement.length }],
  });
  const annotations = {
    "vnd.docker.reference.type": "attestation-manifest",
    "vnd.docker.reference.digest": digest,
  };
  return {
    blobs: [statement, config, manifest.bytes],
    entry: { ...manifest.descriptor, platform: unknown, annotations },
  };
}
