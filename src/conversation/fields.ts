import { parseImageName, type ImageName } from "../image/image-name.ts";
import { InvalidImage } from "../image/invalid-image.ts";
import { parseImageManifest, type ImageManifest } from "../image/manifest.ts";
import { InvalidReference, tryReference } from "../image/reference.ts";
import { Failure } from "../output/errors.ts";
import { InvalidCompressOption, parseCompressOption, type CompressOption } from "../packing/compress-option.ts";

/** What a message holds, each kind of it with its form. It comes from the other end: what has not that form ends the transfer. */

export const DIGEST = /^sha256:[0-9a-f]{64}$/;
/** No engine takes an image of more; a list without end would only fill the memory. */
const MAX_LAYERS = 1000;
const MAX_TEXT = 512;

/** A manifest's bytes, as they go into a message. */
export function manifestText({ bytes }: ImageManifest): string {
  return bytes.toString("base64");
}

export function malformed(what: string): Failure {
  return new Failure("transfer-failed", `the remote side broke the protocol: a malformed ${what}`, {
    expected: "the messages of this version of docker-over-ssh",
    hint: "Install the same version on both sides.",
  });
}

export function text(value: unknown): string {
  if (typeof value !== "string" || value.length > MAX_TEXT) throw malformed("text");
  return value;
}

/** A path in a registry, which goes into URLs and names: what a reference allows, and no more. */
export function repositoryPath(value: unknown): string {
  const path = text(value);
  if (tryReference(`localhost/${path}`)?.path !== path) throw malformed("name");
  return path;
}

/** A reference, or an image ID. */
export function imageName(value: unknown): ImageName {
  try {
    return parseImageName(text(value));
  } catch (error) {
    throw error instanceof InvalidReference ? malformed("name") : error;
  }
}

export function matching(value: unknown, form: RegExp): string {
  const words = text(value);
  if (!form.test(words)) throw malformed("name");
  return words;
}

/** An image's manifest with so many layers; its bytes are those of {@link manifestText}. */
export function manifestOf(value: unknown, layers: number): ImageManifest {
  if (typeof value !== "string") throw malformed("manifest");
  try {
    const manifest = parseImageManifest(Buffer.from(value, "base64"));
    if (manifest.layers.length === layers) return manifest;
  } catch (error) {
    if (!(error instanceof InvalidImage)) throw error;
  }
  throw malformed("manifest");
}

export function choice(value: unknown): CompressOption {
  try {
    return parseCompressOption(text(value));
  } catch (error) {
    throw error instanceof InvalidCompressOption ? malformed("choice") : error;
  }
}

export function count(value: unknown): number {
  if (!Number.isSafeInteger(value) || Number(value) < 0) throw malformed("number");
  return Number(value);
}

export function list(value: unknown): unknown[] {
  if (!Array.isArray(value) || value.length > MAX_LAYERS || value.includes(null)) throw malformed("list");
  return value;
}
