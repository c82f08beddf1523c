import { originOf, type BaseOrigin } from "../policy/bases.ts";
import { checkPublicHost, namesHost } from "../policy/registry-host.ts";
import { GUARD_HOST, parseTenantName } from "../images/names.ts";
import { Refusal } from "../refusal.ts";
import { parseReference, type Reference } from "docker-over-ssh/builds";
import type { EngineSupport } from "./engine-support.ts";
import type { OwnBases } from "./own-bases.ts";
import type { Policy } from "../policy/policy.ts";
import type { UsedBase } from "./check-steps.ts";

/** The rules and look-ups that decide which bases a build may use. */
export interface BaseRules {
  policy: Policy;
  own: OwnBases;
  support: EngineSupport;
  /** Whether the host has an image of a name */
  isOnHost: (name: string) => Promise<boolean>;
  /** Returns the digest to which the builder resolves a name. */
  digestOf: (base: UsedBase, name: string) => Promise<string>;
}

/** The resolve mode of a source that always comes from its registry */
const PULL = "pull";

/**
 * Checks the images that the steps of a build use.
 *
 * @returns `mustPull`: whether the frontend must create the steps again, so that images come from their registry
 * @throws Refusal `base.*`
 */
export async function checkBases(used: readonly UsedBase[], rules: BaseRules): Promise<{ mustPull: boolean }> {
  const origins = new Set<BaseOrigin>();
  let mustPull = false;
  for (const base of used) {
    const origin = await originOfBase(base, rules);
    origins.add(origin);
    if (origin === "own") continue;
    const reference = parseReference(base.reference);
    await checkRegistry(reference, origin, rules);
    if (origin === "host") continue;
    if (base.resolveMode === PULL) await askRegistry(base, reference, rules);
    else mustPull = true;
  }
  if (mustPull && origins.has("own")) {
    throw new Refusal(
      "base.mixed",
      "with BuildKit, one Dockerfile cannot use both an image that was built here and one from a registry: use two Dockerfiles, or the classic builder (DOCKER_BUILDKIT=0)",
    );
  }
  return { mustPull };
}

async function originOfBase(base: UsedBase, rules: BaseRules): Promise<BaseOrigin> {
  const { policy, own, support } = rules;
  const reference = parseReference(base.reference);
  if (reference.domain === GUARD_HOST) return checkMapped(base, reference, rules);
  const name = nameOf(reference);
  // The source policy maps only the exact text. It does not map another spelling, which therefore names the registry's image.
  const isOwn = reference.tag !== undefined && own.byName.has(name) && base.reference.startsWith(name);
  if (isOwn && !support.hasSourcePolicies) {
    throw ownUnsupported(reference.given);
  }
  if (isOwn || reference.digest === undefined || reference.tag === undefined) return originOf(reference, policy, isOwn);
  try {
    return originOf(reference, policy, false);
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    // The builder may have appended the digest to an allowed tag.
    const origin = originOf(parseTenantName(name), policy, false);
    if ((await rules.digestOf(base, name)) !== reference.digest) throw error;
    return origin;
  }
}

/**
 * Checks the host of a registry. A star in place of the host matches public registries only. A pattern must name a registry in a private network, unless the
 * host already has the image.
 */
async function checkRegistry(reference: Reference, origin: BaseOrigin, { policy, isOnHost }: BaseRules): Promise<void> {
  const patterns = origin === "host" ? [...policy.bases, ...policy.pulls] : policy.pulls;
  const byTag = withoutBuildersDigest(reference);
  if (namesHost(patterns, reference) || namesHost(patterns, byTag)) return;
  try {
    await checkPublicHost(reference.domain);
  } catch (error) {
    const { domain, path, tag, digest } = byTag;
    const name = `${domain}/${path}${tag === undefined ? `@${digest}` : `:${tag}`}`;
    if (origin !== "host" || !(await isOnHost(name))) throw error;
  }
}

/** Checks a name that the source policy has mapped. It must be an image of this tenant, without a digest or with that of the image. */
function checkMapped({ reference: given }: UsedBase, reference: Reference, { own }: BaseRules): BaseOrigin {
  const base = own.byEngineName.get(nameOf(reference));
  if (base !== undefined && (reference.digest === undefined || reference.digest === base.id)) return "own";
  throw new Refusal("name.reserved", `"${given}" is not a base that may be used here`);
}

/**
 * Lets the registry decide whether this client may have the image. By digest alone, the builder would use an image that any other build has fetched, without
 * a request to the registry.
 */
async function askRegistry(base: UsedBase, reference: Reference, { digestOf }: BaseRules): Promise<void> {
  if (reference.digest === undefined) return;
  if (reference.tag === undefined) {
    throw new Refusal(
      "base.digest-alone",
      `"${reference.given}" has no tag, and the guard needs one to ask the registry whether this build may use the image. Write a tag before the digest, or use the classic builder (DOCKER_BUILDKIT=0)`,
    );
  }
  await digestOf(base, nameOf(reference));
}

/** Removes the digest after a tag: the builder may have appended it, and no pattern contains it. */
function withoutBuildersDigest({ given, domain, path, tag, digest }: Reference): Reference {
  return { given, domain, path, ...(tag !== undefined ? { tag } : digest !== undefined && { digest }) };
}

function nameOf({ domain, path, tag = "latest" }: Reference): string {
  return `${domain}/${path}:${tag}`;
}

export function ownUnsupported(name: string): Refusal {
  return new Refusal(
    "base.own-unsupported",
    `this engine's BuildKit cannot take "${name}", which was built here, as a base: use the classic builder (DOCKER_BUILDKIT=0)`,
  );
}
