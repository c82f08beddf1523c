import type { ArchiveFiles } from "../archive/archive-files.ts";
import { MAX_DEPTH, MAX_INDEX, MAX_INDEXES, MAX_MANIFESTS } from "../archive/limits.ts";
import { isAttestation } from "../attestation.ts";
import { InvalidImage, undefinedIfInvalid } from "../invalid-image.ts";
import { isIndex, type Descriptor } from "../manifest.ts";
import { parseIndexFile, refuseFull, type IndexFile } from "./index-file.ts";
import { blobPath, IMAGE_NAME, isIndexType, REF_NAME } from "./oci-layout.ts";
import { readLayoutManifest } from "./read-blob.ts";

/** A manifest that an OCI layout's index leads to. */
export interface OciEntry {
  /** The names of the manifest, or if it has none, of the index that leads to it: references, tags, or any other text. */
  names: string[];
  descriptor: Descriptor;
}

/** The annotations that name an image: containerd's, which has the full reference, and the OCI image spec's. */
const NAME_ANNOTATIONS = [IMAGE_NAME, REF_NAME];
/** Bytes of an entry that this program adds to an index. It contains names of up to 255 bytes twice. */
const LARGEST_ENTRY = 1024;

/**
 * Lists the manifests that index.json leads to, through nested indexes (OCI image spec, image-layout.md, "index.json file"), without
 * attestations. Reads indexes only. An index cannot contain itself, because its digest is verified. Throws `InvalidImage`.
 *
 * @param willGrow throws `IndexFull` if there is no space for another entry
 */
export async function listOciEntries(files: ArchiveFiles, { willGrow = false } = {}): Promise<OciEntry[]> {
  const walk = new IndexWalk(files);
  await walk.visit((await readIndexFile(files)).entries, [], 0);
  if (willGrow) refuseFull(walk.seen + 1, ((await files.sizeOf("index.json")) ?? 0) + LARGEST_ENTRY);
  return walk.found;
}

/** Reads the index.json of a layout. Throws `InvalidImage`. */
export async function readIndexFile(files: ArchiveFiles): Promise<IndexFile> {
  return parseIndexFile(await files.read("index.json", MAX_INDEX));
}

/** Visits an index and the indexes nested in it. */
class IndexWalk {
  readonly found: OciEntry[] = [];
  /** The number of manifests in all visited indexes. Counted before reading, because indexes that lead to nothing also take time. */
  seen = 0;
  readonly #files: ArchiveFiles;
  #indexes = 0;

  constructor(files: ArchiveFiles) {
    this.#files = files;
  }

  /** @param inherited the names of the index itself */
  async visit(manifests: readonly (Descriptor | undefined)[], inherited: string[], depth: number): Promise<void> {
    if (depth > MAX_DEPTH) throw new InvalidImage(`its indexes are nested more than ${MAX_DEPTH} levels deep`);
    this.seen += manifests.length;
    if (this.seen > MAX_MANIFESTS) throw new InvalidImage(`its indexes name more than ${MAX_MANIFESTS} manifests`);
    for (const descriptor of manifests) {
      if (descriptor === undefined || isAttestation(descriptor)) continue;
      const own = namesOf(descriptor);
      const names = own.length > 0 ? own : inherited;
      const nested = await this.#nestedIn(descriptor);
      if (nested === undefined) this.found.push({ names, descriptor });
      else await this.visit(nested, names, depth + 1);
    }
  }

  /**
   * Returns the entries of a nested index; undefined for a manifest, and for a missing or invalid index, which is reported when it is read.
   */
  async #nestedIn(descriptor: Descriptor): Promise<readonly Descriptor[] | undefined> {
    if (!isIndexType(descriptor)) return undefined;
    if ((await this.#files.sizeOf(blobPath(descriptor.digest))) === undefined) return undefined;
    this.#indexes += 1;
    if (this.#indexes > MAX_INDEXES) throw new InvalidImage(`its indexes name more than ${MAX_INDEXES} indexes`);
    const nested = await undefinedIfInvalid(readLayoutManifest(this.#files, descriptor));
    if (nested === undefined) return undefined;
    if (!isIndex(nested.parsed)) throw new InvalidImage("its index is the manifest of one image");
    return nested.parsed.manifests;
  }
}

/** Returns the names that an entry of an index gives to its image. */
export function namesOf({ annotations = {} }: Descriptor): string[] {
  const names = NAME_ANNOTATIONS.map((key) => annotations[key]);
  return names.filter((name) => typeof name === "string");
}
