import type { PushName } from "./push-name.ts";

/** The requests of an engine to a registry during a push (OCI distribution spec 1.1, "Endpoints"). */
export type PushRoute =
  | { kind: "base" }
  /** Checks whether a blob or a manifest exists; `path` is relative to the repository */
  | { kind: "check"; path: string }
  /** Begins the upload of a blob */
  | { kind: "start" }
  /** Sends a blob, queries the state of an upload, or cancels it. PUT has the blob's digest */
  | { kind: "upload"; method: "PATCH" | "PUT" | "GET" | "DELETE"; id: string; digest: string | undefined }
  /** Sends a manifest under its digest or under the pushed tag */
  | { kind: "manifest"; reference: string };

const DIGEST = /^sha(?:256:[0-9a-f]{64}|512:[0-9a-f]{128})$/;

/**
 * Parses a request of the engine. Returns undefined for any other request. Cross-repository mounts (`mount`, `from`) are dropped: the engine sends its own names
 * of repositories, and the registry would look them up with the credentials of this push.
 */
export function parsePushRoute(method: string, target: string, { repository, tag }: PushName): PushRoute | undefined {
  const [path = "", query = ""] = target.split("?", 2);
  if (path === "/v2/" && method === "GET") return { kind: "base" };
  const prefix = `/v2/${repository}/`;
  if (!path.startsWith(prefix)) return undefined;
  const rest = path.slice(prefix.length);
  const [kind = "", second = "", third] = rest.split("/", 4);
  if (kind === "blobs" && second === "uploads") return uploadRoute(method, third, query);
  const isKnown = third === undefined && (DIGEST.test(second) || (kind === "manifests" && second === tag));
  if (!isKnown || (kind !== "blobs" && kind !== "manifests")) return undefined;
  if (method === "HEAD") return { kind: "check", path: rest };
  return method === "PUT" && kind === "manifests" ? { kind: "manifest", reference: second } : undefined;
}

function uploadRoute(method: string, id: string | undefined, query: string): PushRoute | undefined {
  if (id === undefined || id === "") return method === "POST" ? { kind: "start" } : undefined;
  const digest = new URLSearchParams(query).get("digest") ?? undefined;
  if (method === "PATCH" || method === "GET" || method === "DELETE")
    return { kind: "upload", method, id, digest: undefined };
  return method === "PUT" && digest !== undefined && DIGEST.test(digest)
    ? { kind: "upload", method, id, digest }
    : undefined;
}
