import type { Reference } from "docker-over-ssh/builds";
import type { ApiObject } from "../backend.ts";
import type { PushName } from "./push-name.ts";

/** Maximum characters of an engine's text that are passed on */
const MAX_TEXT = 4096;

/** A failure that the engine reports. */
export interface EngineFailure {
  message: string;
}

/**
 * Returns a line of the engine's progress with the tenant's names, reduced to the properties that docker reads (moby `api/types/jsonstream`, `auxprogress`).
 * Returns undefined for a line without any of them. {@link failureIn} reads lines with an error.
 */
export function tenantsLine(line: unknown, name: PushName, reference: Reference): ApiObject | undefined {
  const { status, id, progress, progressDetail, aux } = record(line);
  const shown = {
    ...(typeof status === "string" && { status: withRegistryNames(status, name, reference) }),
    ...(typeof id === "string" && { id: withRegistryNames(id, name, reference) }),
    ...(typeof progress === "string" && { progress: progress.slice(0, MAX_TEXT) }),
    ...(progressDetail !== undefined && { progressDetail: numbers(progressDetail, ["current", "total"]) }),
    ...(aux !== undefined && { aux: tenantsAux(aux, reference) }),
  };
  return shown.status === undefined && shown.id === undefined && shown.aux === undefined ? undefined : shown;
}

/** Returns the failure that a line reports, with the tenant's names. */
export function failureIn(line: unknown, name: PushName, reference: Reference): EngineFailure | undefined {
  const { error, errorDetail } = record(line);
  const { message } = record(errorDetail);
  const found = typeof message === "string" ? message : error;
  return typeof found === "string" ? { message: withRegistryNames(found, name, reference) } : undefined;
}

export function failureLine(message: string): ApiObject {
  return { errorDetail: { message }, error: message };
}

/** Replaces the name at the guard's proxy with the name at the registry. */
function withRegistryNames(text: string, { host, repository, tag }: PushName, reference: Reference): string {
  const { domain, path, tag: own = "" } = reference;
  return text
    .slice(0, MAX_TEXT)
    .replaceAll(`http://${host}/v2/${repository}`, `https://${domain}/v2/${path}`)
    .replaceAll(`${host}/${repository}`, `${domain}/${path}`)
    .replaceAll(repository, path)
    .replaceAll(host, domain)
    .replaceAll(tag, own);
}

function tenantsAux(aux: unknown, { tag }: Reference): ApiObject | undefined {
  const { Digest, Size, manifestPushedInsteadOfIndex, originalIndex, selectedManifest, contentMissing, desc } =
    record(aux);
  if (typeof Digest === "string") return { Tag: tag, Digest, ...(typeof Size === "number" && { Size }) };
  if (manifestPushedInsteadOfIndex === true)
    return {
      manifestPushedInsteadOfIndex,
      originalIndex: descriptor(originalIndex),
      selectedManifest: descriptor(selectedManifest),
    };
  return contentMissing === true ? { contentMissing, desc: descriptor(desc) } : undefined;
}

function descriptor(value: unknown): ApiObject {
  const { mediaType, digest, size, platform } = record(value);
  const { os, architecture, variant } = record(platform);
  return {
    mediaType,
    digest,
    size,
    ...(platform !== undefined && { platform: { os, architecture, ...(variant !== undefined && { variant }) } }),
  };
}

function numbers(value: unknown, keys: readonly string[]): ApiObject {
  const found = record(value);
  return Object.fromEntries(keys.filter((key) => typeof found[key] === "number").map((key) => [key, found[key]]));
}

function record(value: unknown): Record<string, unknown> {
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
}
