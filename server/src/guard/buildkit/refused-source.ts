import { messageOf, tryReference } from "docker-over-ssh/builds";
import { checkSource } from "../policy/sources.ts";
import { GUARD_HOST } from "../images/names.ts";
import { ownUnsupported } from "./check-bases.ts";
import { originOf } from "../policy/bases.ts";
import { Refusal } from "../refusal.ts";
import type { OwnBases } from "./own-bases.ts";
import type { RunningBuild } from "./builds.ts";
import type { Policy } from "../policy/policy.ts";

/** Of BuildKit's sourcepolicy */
const DENIED = /source "([a-z-]+:\/\/)([^"]+)" denied by policy/;

/**
 * Returns the Refusal for an error that the source policy has caused, or the want of one, in the words of the same rule; undefined for other errors.
 */
export function refusedSource(
  error: unknown,
  policy: Policy,
  { own, support }: Pick<RunningBuild, "own" | "support">,
): Refusal | undefined {
  const message = messageOf(error);
  if (!support.hasSourcePolicies) return missingOwn(message, own);
  const [, scheme = "", rest = ""] = DENIED.exec(message) ?? [];
  if (scheme === "") return undefined;
  const reference = scheme === "docker-image://" ? tryReference(rest) : undefined;
  try {
    if (reference === undefined) checkSource(`${scheme.replace("git:", "https:")}${rest}`, policy);
    else if (reference.domain !== GUARD_HOST) originOf({ ...reference, given: rest }, policy, false);
  } catch (refusal) {
    if (refusal instanceof Refusal) return refusal;
    throw refusal;
  }
  return new Refusal("base.refused", `"${rest}" is not a base that may be used here`);
}

/** An old engine looks for the tenant's own image in the registry of its name. */
function missingOwn(message: string, { byName }: OwnBases): Refusal | undefined {
  const asked = [...byName.keys()].find((name) => {
    const [, path = "", tag = ""] = /^[^/]+\/(.+):([^:]+)$/.exec(name) ?? [];
    return message.includes(`/${path}/manifests/${tag}`) || message.includes(name);
  });
  return asked === undefined ? undefined : ownUnsupported(asked);
}
