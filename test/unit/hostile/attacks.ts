import { gzipSync } from "node:zlib";
import { MEDIA_TYPE } from "../../../src/image/manifest.ts";
import { makeImage, type Pack } from "../image/make-image.ts";
import type { Attack } from "./hostile-sender.ts";

export const image = await makeImage([3000, 70_000]);
export const other = await makeImage([50, 600]);
export const GB = 2 ** 30;

/** An attack, and the status and message with which the receiver ends. */
export type Row = [name: string, attack: Attack, status: number, message: RegExp];

/** A layer of 1 GB, compressed to 1 MB. */
export const bomb: Pack = () => {
  const member = gzipSync(Buffer.alloc(GB / 64));
  return { blob: Buffer.concat(Array.from({ length: 64 }, () => member)), mediaType: MEDIA_TYPE.ociLayerGzip };
};

/** Stores a plain layer with this media type. */
export const withMediaType =
  (mediaType: string): Pack =>
  (blob) => ({ blob, mediaType });
