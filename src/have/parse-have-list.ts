import { isDigest } from "../image/digest.ts";
import { InvalidImage } from "../image/invalid-image.ts";
import { MAX_LAYERS } from "../image/manifest.ts";
import { parseBoundedJson } from "../image/parse-json.ts";
import { parsePlatform } from "../image/platform.ts";
import { tryReference } from "../image/reference.ts";
import { ENGINE_STORES } from "../output/events.ts";
import {
  HAVE_FORMAT,
  HAVE_VERSION,
  type HaveList,
  type ListedEngine,
  type ListedImage,
  type ListedLayer,
} from "./have-list.ts";

/** The maximum bytes of a list. The list of an engine with 1,000 images of 20 layers, half of them shared, has 1 MB. */
export const MAX_HAVE_LIST = 16 * 1024 * 1024;
/** A layer has up to four JSON values; an image has six, and one for each name. */
const LIMITS = { depth: 4, values: 600_000 };
const MAX_LISTED_LAYERS = 100_000;
const MAX_LISTED_IMAGES = 20_000;
/** The maximum length of a name, a version or a time, in characters. */
const MAX_TEXT = 512;

/** Thrown for text that is not a have list. The message contains the reason. */
export class InvalidHaveList extends Error {
  override readonly name = "InvalidHaveList";
}

/** Parses a list, which is hostile input: a person carries it from another machine. Throws {@link InvalidHaveList}. */
export function parseHaveList(bytes: Buffer): HaveList {
  if (bytes.length > MAX_HAVE_LIST) refuse(`it is larger than ${MAX_HAVE_LIST} bytes`);
  const { format, version, listed, engine, layers, images } = objectOf(parse(bytes), "it");
  if (format !== HAVE_FORMAT) refuse(`its format is not ${HAVE_FORMAT}`);
  if (version !== HAVE_VERSION) refuse(`it has the version ${shown(version)}, and this program reads ${HAVE_VERSION}`);
  if (!isText(listed) || Number.isNaN(Date.parse(listed)))
    refuse("it does not contain the time at which it was created");
  const read = readLayers(arrayOf(layers, "layers", MAX_LISTED_LAYERS));
  return {
    format: HAVE_FORMAT,
    version: HAVE_VERSION,
    listed,
    engine: readEngine(objectOf(engine, "its engine")),
    layers: read,
    images: arrayOf(images, "images", MAX_LISTED_IMAGES).map((image) => readImage(image, read.length)),
  };
}

function parse(bytes: Buffer): unknown {
  try {
    return parseBoundedJson(bytes, "text", LIMITS);
  } catch (error) {
    if (error instanceof InvalidImage) refuse(error.message);
    throw error;
  }
}

function readEngine({ version, store, platform, bytesFree }: Record<string, unknown>): ListedEngine {
  const known = ENGINE_STORES.find((one) => one === store);
  if (known === undefined || !isText(version) || !isPlatform(platform)) refuse("its engine is malformed");
  if (bytesFree !== undefined && !isIndex(bytesFree, Number.MAX_SAFE_INTEGER)) refuse("its free bytes are malformed");
  return { version, store: known, platform, ...(bytesFree !== undefined && { bytesFree }) };
}

function readLayers(values: readonly unknown[]): ListedLayer[] {
  const depths: number[] = [];
  return values.map((value, index) => {
    const { diffId, on, absent } = objectOf(value, "a layer");
    // The layer below must precede it, so there is no cycle.
    if (!isDigest(diffId) || (on !== undefined && !isIndex(on, index))) refuse(`its layer ${index} is malformed`);
    if (absent !== undefined && absent !== true) refuse(`its layer ${index} is malformed`);
    const depth = on === undefined ? 1 : (depths[on] ?? 0) + 1;
    if (depth > MAX_LAYERS) refuse(`it has an image of more than ${MAX_LAYERS} layers`);
    depths.push(depth);
    return { diffId, ...(on !== undefined && { on }), ...(absent === true && { absent }) };
  });
}

function readImage(value: unknown, layers: number): ListedImage {
  const { names, platform, top } = objectOf(value, "an image");
  // An archive refers to its delta base by one of them.
  const areNames = Array.isArray(names) && names.length > 0 && names.every(isName);
  if (!areNames || !isPlatform(platform) || (top !== undefined && !isIndex(top, layers))) {
    return refuse("one of its images is malformed");
  }
  return { names, platform, ...(top !== undefined && { top }) };
}

function objectOf(value: unknown, what: string): Record<string, unknown> {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  return refuse(`${what} is not an object`);
}

function arrayOf(value: unknown, what: string, most: number): unknown[] {
  if (!Array.isArray(value)) return refuse(`it has no ${what}`);
  return value.length > most ? refuse(`it has more than ${most} ${what}`) : value;
}

/** Returns whether a value is text that can be printed and stored: engines return no control characters. */
function isText(value: unknown): value is string {
  return typeof value === "string" && value.length <= MAX_TEXT && !/\p{Cc}/u.test(value);
}

function isName(value: unknown): value is string {
  return isText(value) && tryReference(value) !== undefined;
}

function isPlatform(value: unknown): value is string {
  return isText(value) && parsePlatform(value) !== undefined;
}

/** Returns whether a value is an integer from 0 that is below `end`. */
function isIndex(value: unknown, end: number): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0 && (value as number) < end;
}

function shown(value: unknown): string {
  return typeof value === "number" ? String(value) : "of another kind";
}

function refuse(why: string): never {
  throw new InvalidHaveList(why);
}
