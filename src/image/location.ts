/**
 * Where an image is, in the words of skopeo, Podman and buildah (containers-transports(5)): `docker-daemon:REFERENCE`,
 * `docker-archive:FILE[:REFERENCE]`, `oci:FOLDER[:REFERENCE]`, `oci-archive:FILE[:REFERENCE]`.
 */
export type ImageLocation = EngineLocation | FileLocation;

export interface EngineLocation {
  kind: "docker-daemon";
  /** As it was typed. */
  given: string;
  reference?: string;
}

/** A file or a folder; no engine is needed. */
export interface FileLocation {
  kind: ArchiveKind;
  /** As it was typed. */
  given: string;
  path: string;
  /** Which image in there. A layout may call it by any text. */
  reference?: string;
}

/** What `docker save` writes, a folder that is an OCI layout, or a tar of such a folder. */
export type ArchiveKind = "docker-archive" | "oci" | "oci-archive";

/** No place. The message says why. */
export class InvalidLocation extends Error {
  override readonly name = "InvalidPlace";
}

const KIND = /^(docker-daemon|docker-archive|oci|oci-archive):(.*)$/s;

/** As there, a path has no colon, but for a drive's. */
const PATH_AND_REFERENCE = /^((?:[A-Za-z]:(?=[\\/]))?[^:]*)(?::(.*))?$/s;

/** Reads a place; undefined for what does not begin with the name of one. Throws {@link InvalidLocation}. */
export function parseLocation(given: string): ImageLocation | undefined {
  const [, kind, rest = ""] = KIND.exec(given) ?? [];
  if (kind === undefined) return undefined;
  if (kind === "docker-daemon") return { kind, given, ...(rest !== "" && { reference: rest }) };
  const [, path = "", reference] = PATH_AND_REFERENCE.exec(rest) ?? [];
  if (path === "") throw new InvalidLocation(`"${given}" names no ${kind === "oci" ? "folder" : "file"}`);
  if (reference === "") throw new InvalidLocation(`"${given}" ends with a colon, and names no image behind it`);
  return { kind: kind as ArchiveKind, given, path, ...(reference !== undefined && { reference }) };
}
