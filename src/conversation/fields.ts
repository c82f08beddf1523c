import { parseImageName, type ImageName } from "../image/image-name.ts";
import type { PlatformChoice } from "../image/index-content.ts";
import { InvalidImage } from "../image/invalid-image.ts";
import { MAX_LAYERS, parseImageManifest, type ImageManifest } from "../image/manifest.ts";
import { formatPlatform, parsePlatform, type Platform } from "../image/platform.ts";
import { InvalidReference, tryReference, type Reference } from "../image/reference.ts";
import { Failure } from "../output/errors.ts";
import { InvalidCompressOption, parseCompressOption, type CompressOption } from "../packing/compress-option.ts";

/** Parsers for the fields of messages. Messages are untrusted input: a parser throws for a malformed field, which ends the transfer. */

export const DIGEST = /^sha256:[0-9a-f]{64}$/;
const MAX_TEXT = 512;
/** The maximum number of names of one image. */
const MAX_NAMES = 100;

/** Encodes a manifest for a message. {@link manifestOf} decodes it. */
export function manifestText({ bytes }: ImageManifest): string {
  return bytes.toString("base64");
}

/** Returns the failure for a message that breaks the protocol. */
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

/** Parses a path in a registry. It becomes part of URLs and names, so it must have the form of a path in a reference. */
export function repositoryPath(value: unknown): string {
  const path = text(value);
  if (tryReference(`localhost/${path}`)?.path !== path) throw malformed("name");
  return path;
}

/** Parses the name in an ask: a reference, or an image ID. */
export function imageName(value: unknown): ImageName {
  try {
    return parseImageName(text(value));
  } catch (error) {
    throw error instanceof InvalidReference ? malformed("ask") : error;
  }
}

/** Parses the names that an image gets. */
export function references(value: unknown): Reference[] {
  const names = list(value);
  if (names.length === 0 || names.length > MAX_NAMES) throw malformed("list of names");
  return names.map((name) => {
    const reference = tryReference(text(name));
    if (reference === undefined) throw malformed("name");
    return reference;
  });
}

/** Parses `os/arch[/variant]`. */
export function platformIn(value: unknown): Platform {
  const platform = parsePlatform(text(value));
  if (platform === undefined) throw malformed("name");
  return platform;
}

/** The maximum number of platforms that a user may name. */
const MAX_PLATFORMS = 100;

/** Parses `all`, or a list of platforms. */
export function platformChoice(value: unknown): PlatformChoice {
  if (value === "all") return value;
  const platforms = list(value);
  if (platforms.length === 0 || platforms.length > MAX_PLATFORMS) throw malformed("list of platforms");
  return platforms.map(platformIn);
}

/** Returns the field that {@link platformChoice} parses. */
export function platformChoiceText(choice: PlatformChoice): "all" | string[] {
  return choice === "all" ? choice : choice.map(formatPlatform);
}

export function matching(value: unknown, form: RegExp): string {
  const given = text(value);
  if (!form.test(given)) throw malformed("name");
  return given;
}

/** Decodes a manifest from {@link manifestText}, which must have `layers` layers. */
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

export function compressOption(value: unknown): CompressOption {
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

/** Bytes. No layer is nearly as large, and JavaScript numbers below it are exact. */
const MAX_SIZE = 2 ** 50;

/** Parses a size in bytes. */
export function sizeIn(value: unknown): number {
  if (count(value) > MAX_SIZE) throw malformed("number");
  return count(value);
}

export function list(value: unknown): unknown[] {
  if (!Array.isArray(value) || value.length > MAX_LAYERS || value.includes(null)) throw malformed("list");
  return value;
}
