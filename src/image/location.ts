import { parseArchivedName, type ArchivedName } from "./archived-name.ts";

/**
 * The location of an image, in the syntax of skopeo, Podman and buildah (containers-transports(5)): `docker-daemon:REFERENCE`,
 * `docker-archive:FILE[:REFERENCE]`, `oci:FOLDER[:REFERENCE]`, `oci-archive:FILE[:REFERENCE]`.
 */
export type ImageLocation = EngineLocation | FileLocation;

export interface EngineLocation {
  kind: "docker-daemon";
  /** Verbatim. */
  given: string;
  /** The name after the colon, not parsed: that of an image to send may also be an ID, a name to give may not. */
  name?: string;
}

/** A location without an engine: a file or a folder. */
export interface FileLocation {
  kind: ArchiveKind;
  /** Verbatim. */
  given: string;
  path: string;
  /** Selects one of several images. */
  name?: ArchivedName;
}

/** A docker archive (`docker save`), an OCI layout in a folder, or an OCI archive: the layout as a tar. */
export type ArchiveKind = "docker-archive" | "oci" | "oci-archive";

/** Thrown for a malformed location. The message states the reason. */
export class InvalidLocation extends Error {
  override readonly name = "InvalidLocation";
}

const KIND = /^(docker-daemon|docker-archive|oci|oci-archive):(.*)$/s;

/** As in containers-transports(5), a path contains no colon, except after a drive letter. */
const PATH_AND_REFERENCE = /^((?:[A-Za-z]:(?=[\\/]))?[^:]*)(?::(.*))?$/s;

/** Parses a location; returns undefined for text without the prefix of a location. Throws {@link InvalidLocation}. */
export function parseLocation(given: string): ImageLocation | undefined {
  const [, kind, rest = ""] = KIND.exec(given) ?? [];
  if (kind === undefined) return undefined;
  if (kind === "docker-daemon") return { kind, given, ...(rest !== "" && { name: rest }) };
  const [, path = "", name] = PATH_AND_REFERENCE.exec(rest) ?? [];
  if (path === "") throw new InvalidLocation(`"${given}" names no ${kind === "oci" ? "folder" : "file"}`);
  if (name === "") throw new InvalidLocation(`"${given}" ends with a colon, but no image name follows`);
  return { kind: kind as ArchiveKind, given, path, ...(name !== undefined && { name: parseArchivedName(name) }) };
}
