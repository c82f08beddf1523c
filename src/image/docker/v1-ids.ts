import { chainIds, digestOf, hexOf, type Digest } from "../digest.ts";

/**
 * The names of the folders that `docker save` writes up to 24.0: the image IDs of Docker before 1.10, made up anew for each
 * layer (moby v20.10 image/tarexport/save.go, saveImage, and image/v1/imagev1.go, CreateID).
 *
 * All but the top layer get an image without properties, so that the ID depends on nothing but the chain ID, the parent's ID
 * and constants. The constants are in the folder's own `json`: `created` is the epoch in the daemon's time zone, and
 * `container_config` an empty struct that has as many fields as that version of Docker gives it.
 */
export interface V1Constants {
  created: string;
  /** As JSON without spaces, in the order that was written. */
  containerConfig: string;
}

/** What a `<v1 id>/json` says, as far as it tells the layer. */
export interface V1Image {
  constants: V1Constants;
  /** v1 ID, hex. */
  parent: string | undefined;
  /** It has properties, which only an image's top layer is given. */
  hasProperties: boolean;
}

const WITHOUT_PROPERTIES = new Set(["id", "parent", "created", "container_config", "os"]);

/** Reads a `<v1 id>/json`; undefined for what is none. */
export function parseV1Image(bytes: Uint8Array): V1Image | undefined {
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(bytes).toString("utf8"));
  } catch {
    return undefined;
  }
  if (typeof value !== "object" || value === null) return undefined;
  const { created, container_config: config, parent } = value as Record<string, unknown>;
  if (typeof created !== "string") return undefined;
  return {
    constants: { created, containerConfig: JSON.stringify(config ?? {}) },
    parent: typeof parent === "string" ? parent : undefined,
    hasProperties: Object.keys(value).some((key) => !WITHOUT_PROPERTIES.has(key)),
  };
}

/** The v1 IDs, hex, of all layers but the top one, bottom first. */
export function v1Ids(diffIds: readonly Digest[], { created, containerConfig }: V1Constants): string[] {
  const ids: string[] = [];
  for (const chainId of chainIds(diffIds.slice(0, -1))) {
    const below = ids.at(-1);
    const parent = below === undefined ? "" : `,"parent":"sha256:${below}"`;
    // As Go writes a map: keys sorted, no spaces.
    const text = `{"container_config":${containerConfig},"created":${JSON.stringify(created)},"layer_id":"${chainId}"${parent}}`;
    ids.push(hexOf(digestOf(text)));
  }
  return ids;
}
