import { gzipSync } from "node:zlib";
import { digestOf, type Digest } from "../../../../src/image/digest.ts";
import { MEDIA_TYPE, encodeManifest, type Descriptor } from "../../../../src/image/manifest.ts";

export interface TestBlob {
  bytes: Buffer;
  digest: Digest;
}

export function blob(content: string | Buffer): TestBlob {
  const bytes = Buffer.from(content);
  return { bytes, digest: digestOf(bytes) };
}

/** A packed layer. */
export interface TestLayer extends TestBlob {
  diffId: Digest;
}

export function layer(content: string, level = 6): TestLayer {
  return { ...blob(gzipSync(content, { level })), diffId: digestOf(content) };
}

export interface TestImage {
  layers: TestLayer[];
  config: TestBlob;
  manifest: Buffer;
  descriptor: Descriptor;
}

export function image(
  layers: TestLayer[],
  architecture = "amd64",
  sizeOf = ({ bytes }: TestBlob) => bytes.length,
): TestImage {
  const diffIds = layers.map(({ diffId }) => diffId);
  const config = blob(JSON.stringify({ os: "linux", architecture, rootfs: { type: "layers", diff_ids: diffIds } }));
  const { bytes, descriptor } = encodeManifest({
    mediaType: MEDIA_TYPE.ociManifest,
    config: { mediaType: MEDIA_TYPE.ociConfig, digest: config.digest, size: config.bytes.length },
    layers: layers.map((it) => ({ mediaType: MEDIA_TYPE.ociLayerGzip, digest: it.digest, size: sizeOf(it) })),
  });
  return { layers, config, manifest: bytes, descriptor };
}
