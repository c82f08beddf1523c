import { lookup } from "node:dns/promises";
import { fullName, type Reference } from "docker-over-ssh/builds";
import { isPublicAddress } from "../../net/address-rules.ts";
import type { Credentials } from "../build-request.ts";
import type { ImagePattern } from "../policy/policy.ts";
import { namesHost } from "../push/check-push.ts";
import { Refusal } from "../refusal.ts";

const ACCEPT = [{ type: "insecureAcceptAnything" }];
const REJECT = [{ type: "reject" }];

/** What containers-policy.json(5) lets buildah read: images that are in its storage, and one of a registry. Not `dir:`, `oci:`, archives, or an engine. */
export function imagePolicy(reference: Reference | undefined): object {
  const { digest, tag } = reference ?? {};
  // A name with both is looked up by its digest, and has the digest in its scope.
  const scope = reference && fullName(digest !== undefined && tag !== undefined ? withoutTag(reference) : reference);
  return {
    default: REJECT,
    transports: {
      "containers-storage": { "": ACCEPT },
      ...(scope !== undefined && { docker: { [scope]: ACCEPT } }),
    },
  };
}

function withoutTag({ given, domain, path, digest }: Reference): Reference {
  return { given, domain, path, ...(digest !== undefined && { digest }) };
}

/** A name without a host is Docker Hub's, and nothing else. */
export const REGISTRIES = `unqualified-search-registries = ["docker.io"]
short-name-mode = "disabled"`;

/** Registries of this host may speak http, as with docker. */
export function isOfThisHost(domain: string): boolean {
  return /^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])(?::\d+)?$/.test(domain);
}

/** An authfile with credentials of one registry. */
export function authFile(domain: string, { username, password, identityToken }: Credentials): object {
  const pair = identityToken === undefined ? `${username}:${password}` : `${username || "<token>"}:`;
  const auth = Buffer.from(pair).toString("base64");
  return { auths: { [domain]: { auth, ...(identityToken !== undefined && { identitytoken: identityToken }) } } };
}

/**
 * Refuses a registry inside of the network that policy does not name: a star among its patterns is meant for registries of the world, and not for services
 * beside the guard.
 *
 * @throws Refusal `registry.not-public`
 */
export async function checkHost(patterns: readonly ImagePattern[], reference: Reference): Promise<void> {
  if (namesHost(patterns, reference)) return;
  const host = reference.domain.replace(/:\d+$/, "").replace(/^\[(.*)\]$/, "$1");
  const addresses = await lookup(host, { all: true }).catch(() => []);
  if (addresses.every(({ address }) => isPublicAddress(address))) return;
  throw new Refusal(
    "registry.not-public",
    `${reference.domain} is inside of a network: a registry there can be used where the guard's policy names its host`,
  );
}
