import { parseBoundedJson } from "../parse-json.ts";
import { parseDescriptor, type Descriptor } from "../manifest.ts";
import { MAX_INDEX, MAX_INDEX_DEPTH, MAX_INDEX_VALUES, MAX_MANIFESTS } from "../archive/limits.ts";
import { InvalidImage } from "../invalid-image.ts";

/** The index.json of an OCI layout (OCI image spec, image-layout.md, "index.json file"). */
export interface IndexFile {
  /** The parsed JSON, including fields and entries that this program does not understand, but preserves. */
  raw: { manifests: RawEntry[] };
  /** The descriptor in each of `raw.manifests`; undefined for an entry that this program does not understand. */
  entries: (Descriptor | undefined)[];
}

/** An entry of an index.json: any JSON object. */
export type RawEntry = Record<string, unknown>;

/** A digest of any algorithm (OCI image spec, descriptor.md, "Digests"). */
const ANY_DIGEST = /^[a-z0-9]+(?:[.+_-][a-z0-9]+)*:[A-Za-z0-9=_-]+$/;

/**
 * Parses an index.json. Skips entries with another digest algorithm than sha256, and malformed entries if there are valid ones: the entries
 * of one tool are no reason to refuse the images of another. Throws `InvalidImage` for a file that is not an index, has only malformed
 * entries, or exceeds the limits.
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

/** Thrown if an index has no space for another image. */
export class IndexFull extends InvalidImage {}

/** Serialises an index.json. Throws {@link IndexFull} if it exceeds the limits of {@link parseIndexFile}. */
export function writeIndexFile(raw: IndexFile["raw"]): Buffer {
  const bytes = Buffer.from(JSON.stringify(raw));
  refuseFull(raw.manifests.length, bytes.length);
  return bytes;
}

/** Throws {@link IndexFull} for more manifests or bytes than {@link parseIndexFile} accepts. */
export function refuseFull(manifests: number, size: number): void {
  if (manifests > MAX_MANIFESTS) throw new IndexFull(`its indexes cannot name more than ${MAX_MANIFESTS} manifests`);
  if (size > MAX_INDEX) throw new IndexFull(`its index.json cannot be larger than ${MAX_INDEX} bytes`);
}

function refuseTooMany(count: number): void {
  if (count > MAX_MANIFESTS) throw new InvalidImage(`its index.json names more than ${MAX_MANIFESTS} manifests`);
}
