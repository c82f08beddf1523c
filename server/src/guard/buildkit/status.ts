import { withTenantNames } from "../images/names.ts";
import { tryReference } from "docker-over-ssh/builds";
import { matchesAny } from "../policy/patterns.ts";
import type { Policy } from "../policy/policy.ts";
import type { StatusResponse } from "./gen/control_pb.ts";

/** Replaces the engine's names with the tenant's in the progress of a build. Modifies the message. */
export function statusForTenant(tenant: string, status: StatusResponse): StatusResponse {
  const words = (text: string): string => (text.includes("guard.internal/") ? withTenantNames(tenant, text) : text);
  for (const vertex of status.vertexes) {
    vertex.name = words(vertex.name);
    vertex.error = words(vertex.error);
    if (vertex.progressGroup !== undefined) vertex.progressGroup.name = words(vertex.progressGroup.name);
  }
  for (const part of status.statuses) {
    part.ID = words(part.ID);
    part.name = words(part.name);
  }
  for (const warning of status.warnings) {
    warning.short = Buffer.from(words(Buffer.from(warning.short).toString()));
    warning.detail = warning.detail.map((line) => Buffer.from(words(Buffer.from(line).toString())));
  }
  return status;
}

/** The step in which the frontend reads the config of an image */
const METADATA = /^\[internal\] load metadata for (\S+)$/;

/** Removes the errors with which an old engine discloses whether images exist that the tenant may not use. Modifies the message. */
export function withoutForeignImages(policy: Policy, status: StatusResponse): StatusResponse {
  for (const vertex of status.vertexes) {
    const [, name] = METADATA.exec(vertex.name) ?? [];
    if (name === undefined) continue;
    const reference = tryReference(name);
    if (reference === undefined || !matchesAny([...policy.bases, ...policy.pulls], reference)) vertex.error = "";
  }
  return status;
}

/** Returns the exporter's answer, with the tenant's names and without unknown keys. */
export function answerForTenant(tenant: string, answer: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(answer).map(([key, value]) => [key, withTenantNames(tenant, value)]));
}
