import type { Reference } from "docker-over-ssh/builds";
import { Refusal } from "../refusal.ts";
import { matchesAny } from "./patterns.ts";
import type { Policy } from "./policy.ts";

/** The origin of a base. */
export type BaseOrigin =
  /** The tenant's own image of this name */
  | "own"
  /** The host's image of this name, or the registry's if the host has none */
  | "host"
  /** The registry, with the tenant's credentials, regardless of the host's images */
  | "registry";

/** Returns the origin of a base. A tenant's own image takes precedence. Throws a Refusal `base.refused`. */
export function originOf(reference: Reference, { bases, pulls }: Policy, isOwn: boolean): BaseOrigin {
  if (isOwn) return "own";
  if (matchesAny(bases, reference)) return "host";
  if (matchesAny(pulls, reference)) return "registry";
  const allowed = [...bases, ...pulls];
  throw new Refusal(
    "base.refused",
    `"${reference.given}" is not a base that may be used here: ${
      allowed.length === 0 ? "only images built here are" : `images built here are, and ${allowed.join(", ")}`
    }`,
  );
}
