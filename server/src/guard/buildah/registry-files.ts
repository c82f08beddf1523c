import { fullName, type Reference } from "docker-over-ssh/builds";
import type { Credentials } from "../build-request.ts";

const ACCEPT = [{ type: "insecureAcceptAnything" }];
const REJECT = [{ type: "reject" }];

/** Returns a containers-policy.json(5) that allows images of the storage and one image of a registry, but no `dir:`, `oci:`, archive, or engine. */
export function imagePolicy(reference: Reference | undefined): object {
  const { digest, tag } = reference ?? {};
  // buildah resolves a name with both by its digest, and the scope contains the digest.
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

/** A containers-registries.conf(5) in which names without a host belong to Docker Hub only. */
export const REGISTRIES = `unqualified-search-registries = ["docker.io"]
short-name-mode = "disabled"`;

/** Returns whether a registry is on this host. Such a registry may use HTTP, as with docker. */
export function isOfThisHost(domain: string): boolean {
  return /^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])(?::\d+)?$/.test(domain);
}

/** Returns an authfile with the credentials of one registry. */
export function authFile(domain: string, { username, password, identityToken }: Credentials): object {
  const pair = identityToken === undefined ? `${username}:${password}` : `${username || "<token>"}:`;
  const auth = Buffer.from(pair).toString("base64");
  return { auths: { [domain]: { auth, ...(identityToken !== undefined && { identitytoken: identityToken }) } } };
}
