import { chainIds, digestOf, hexOf, type Digest } from "../digest.ts";

/**
 * The constant fields of the images from which `docker save` up to 24.0 computes its folder names. The names are the image IDs of Docker
 * before 1.10, computed for each layer (moby v20.10 image/tarexport/save.go, saveImage, and image/v1/imagev1.go, CreateID).
 *
 * All layers except the top one get an image without properties: its ID depends only on the chain ID, the parent's ID and these constants.
 * The `json` in the folder contains them: `created` is the epoch in the daemon's time zone, and `container_config` is an empty struct with
 * the fields of that version of Docker.
 */
export interface V1Constants {
  created: string;
  /** JSON without spaces, with the fields in their original order. */
  containerConfig: string;
}

/** The fields of a `<v1 id>/json` that help to identify its layer. */
export interface V1Image {
  constants: V1Constants;
  /** v1 ID, hex. */
  parent: string | undefined;
  /** Whether the image has properties, as only the top layer's image has. */
  hasProperties: boolean;
}

const WITHOUT_PROPERTIES = new Set(["id", "parent", "created", "container_config", "os"]);

/** Parses a `<v1 id>/json`; returns undefined for anything else. */
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

/** Computes the v1 IDs, hex, of all layers but the top one, bottom first. */
export function v1Ids(diffIds: readonly Digest[], { created, containerConfig }: V1Constants): string[] {
  const ids: string[] = [];
  for (const chainId of chainIds(diffIds.slice(0, -1))) {
    const below = ids.at(-1);
    const parent = below === undefined ? "" : `,"parent":"sha256:${below}"`;
    // The format in which Go writes a map: sorted keys, no spaces.
    const text = `{"container_config":${containerConfig},"created":${JSON.stringify(created)},"layer_id":"${chainId}"${parent}}`;
    ids.push(hexOf(digestOf(text)));
  }
  return ids;
}
