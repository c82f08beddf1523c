import { parseBoundedJson } from "../parse-json.ts";
import { parseDescriptor, type Descriptor } from "../manifest.ts";
import { MAX_INDEX, MAX_INDEX_DEPTH, MAX_INDEX_VALUES, MAX_MANIFESTS } from "../archive/limits.ts";
import { InvalidImage } from "../invalid-image.ts";

/** The index.json of an OCI layout (OCI image spec, image-layout.md, "index.json file"). */
export interface IndexFile {
  /** As it was read, with whatever it holds: this program need not understand an entry to keep it. */
  raw: { manifests: RawEntry[] };
  /** What each of `raw.manifests` says; undefined where that is nothing for this program. */
  entries: (Descriptor | undefined)[];
}

/** An entry of an index.json, in which anything may stand. */
export type RawEntry = Record<string, unknown>;

/** A digest of any algorithm (OCI image spec, descriptor.md, "Digests"). */
const ANY_DIGEST = /^[a-z0-9]+(?:[.+_-][a-z0-9]+)*:[A-Za-z0-9=_-]+$/;

/**
 * Reads an index.json. Entries that are named by another digest than sha256 are left unread, and so are malformed ones beside others that
 * are not: what one tool has put into a layout is no reason to refuse the images of another. Throws `InvalidImage` when it is no index,
 * when all that it has is malformed, and for more than the limits allow.
 */
export function parseIndexFile(bytes: Buffer): IndexFile {
  if (bytes.length > MAX_INDEX) throw new InvalidImage(`its index.json is larger than ${MAX_INDEX} bytes`);
  const raw = parseBoundedJson(bytes, "index.json", { depth: MAX_INDEX_DEPTH, values: MAX_INDEX_VALUES });
  const { manifests } = (raw ?? {}) as { manifests?: unknown };
  if (!Array.isArray(manifests)) throw new InvalidImage("its index.json is not an index");
  refuseTooMany(manifests.length);
  let malformed: InvalidImage | undefined;
  const entries = manifests.map((entry: unknown) => {
    try {
      return parseDescriptor(entry, "manifest");
    } catch (error) {
      if (!(error instanceof InvalidImage)) throw error;
      const { digest } = (entry ?? {}) as { digest?: unknown };
      const isOther = typeof digest === "string" && !digest.startsWith("sha256:") && ANY_DIGEST.test(digest);
      if (!isOther) malformed ??= error;
      return undefined;
    }
  });
  if (malformed !== undefined && entries.every((entry) => entry === undefined)) throw malformed;
  return { raw: raw as IndexFile["raw"], entries };
}

/** An index has no room for another image. */
export class IndexFull extends InvalidImage {}

/** An index.json as it is to be written. Throws {@link IndexFull} for one that {@link parseIndexFile} would not read again. */
export function writeIndexFile(raw: IndexFile["raw"]): Buffer {
  const bytes = Buffer.from(JSON.stringify(raw));
  refuseFull(raw.manifests.length, bytes.length);
  return bytes;
}

/** Throws {@link IndexFull} when so many manifests, or bytes, are more than are read again. */
export function refuseFull(manifests: number, size: number): void {
  if (manifests > MAX_MANIFESTS) throw new IndexFull(`its indexes cannot name more than ${MAX_MANIFESTS} manifests`);
  if (size > MAX_INDEX) throw new IndexFull(`its index.json cannot be larger than ${MAX_INDEX} bytes`);
}

function refuseTooMany(count: number): void {
  if (count > MAX_MANIFESTS) throw new InvalidImage(`its index.json names more than ${MAX_MANIFESTS} manifests`);
}
