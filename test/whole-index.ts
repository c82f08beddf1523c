import { createHash } from "node:crypto";

/** An image with its index in a layout, as found by a reader that shares no code with `src`. */
export interface WholeIndex {
  /** The digest of the root that index.json names. */
  root: string;
  /** The platforms whose manifest, config and layers are all present, in the order of the index; `unknown/unknown` for an attestation. */
  platforms: string[];
  /** The blobs that do not match their digest. */
  faults: string[];
}

interface Descriptor {
  digest: string;
  platform?: { os: string; architecture: string };
  annotations?: Record<string, string>;
}

interface Manifest {
  manifests?: Descriptor[];
  config?: Descriptor;
  layers?: Descriptor[];
}

/** Reads the image of this name in the files of a layout, by their paths. */
export function wholeIndex(files: ReadonlyMap<string, Buffer>, name: string): WholeIndex {
  const read = (digest: string): Buffer | undefined => files.get(`blobs/${digest.replace(":", "/")}`);
  const parse = (bytes: Buffer | undefined): Manifest => JSON.parse(bytes?.toString() ?? "{}") as Manifest;
  const named = parse(files.get("index.json")).manifests?.filter(({ annotations = {} }) =>
    Object.values(annotations).some((one) => one === name || one.endsWith(`/${name}`)),
  );
  const root = named?.length === 1 ? (named[0]?.digest ?? "") : `${named?.length} entries`;
  const isWhole = ({ digest }: Descriptor): boolean => {
    const { config, layers = [] } = parse(read(digest));
    return config !== undefined && [config, ...layers].every((part) => read(part.digest) !== undefined);
  };
  return {
    root,
    platforms: (parse(read(root)).manifests ?? [])
      .filter(isWhole)
      .map(({ platform }) => `${platform?.os}/${platform?.architecture}`),
    faults: [...files].flatMap(([path, bytes]) => (path.startsWith("blobs/") ? faultOf(path, bytes) : [])),
  };
}

function faultOf(path: string, bytes: Buffer): string[] {
  const digest = createHash("sha256").update(bytes).digest("hex");
  return path.endsWith(`/${digest}`) ? [] : [`${path} has the digest ${digest}`];
}
