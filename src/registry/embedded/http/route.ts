import { isDigest, type Digest } from "../../../image/digest.ts";
import { DistributionError } from "./distribution-error.ts";

/** The endpoint of a request (OCI distribution spec 1.1, "Endpoints"), with validated parameters. */
export type Route =
  | { kind: "base" }
  | { kind: "manifest"; repository: string; reference: string }
  | { kind: "blob"; repository: string; digest: Digest }
  | { kind: "recipe" | "pieces"; repository: string; digest: Digest }
  | { kind: "probe"; repository: string; query: URLSearchParams }
  | { kind: "packed-size" | "pieces-size"; repository: string; digest: Digest; query: URLSearchParams }
  | { kind: "tags"; repository: string; query: URLSearchParams }
  | { kind: "uploads"; repository: string; query: URLSearchParams }
  | { kind: "upload"; repository: string; id: string; query: URLSearchParams };

/** The maximum length in characters. The longest URL that a client needs has a name, an upload's ID and a digest: about 450 characters. */
const MAX_URL = 2048;
/** The maximum length of a repository's name in characters. Engines allow 255, including the host. */
const MAX_NAME = 255;
const COMPONENT = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$/;
const TAG = /^\w[\w.-]{0,127}$/;
const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

const METHODS: Record<Route["kind"], readonly string[]> = {
  base: ["GET", "HEAD"],
  manifest: ["GET", "HEAD", "PUT"],
  blob: ["GET", "HEAD"],
  recipe: ["GET"],
  probe: ["GET"],
  pieces: ["POST"],
  "packed-size": ["GET"],
  "pieces-size": ["POST"],
  tags: ["GET"],
  uploads: ["POST"],
  upload: ["GET", "PATCH", "PUT", "DELETE"],
};

/** Parses the method and URL of a request. No part of them ever becomes a file system path. Throws a {@link DistributionError}. */
export function readRoute(method: string, url: string): Route {
  if (url.length > MAX_URL) throw new DistributionError(414, "UNSUPPORTED", "the URL is too long");
  const [path = "", ...rest] = url.split("?");
  const route = readPath(path, new URLSearchParams(rest.join("?")));
  if (METHODS[route.kind].includes(method)) return route;
  throw new DistributionError(405, "UNSUPPORTED", `this endpoint does not allow ${method}`, {
    allow: METHODS[route.kind].join(", "),
  });
}

function readPath(path: string, query: URLSearchParams): Route {
  const [root, version, ...segments] = path.split("/").map(decode);
  if (root !== "" || version !== "v2") throw noEndpoint();
  if (segments.length === 0 || (segments.length === 1 && segments[0] === "")) return { kind: "base" };
  const [third, second, last = ""] = [segments.at(-3), segments.at(-2), segments.at(-1)];
  const repository = (parts: number): string => readName(segments.slice(0, -parts));

  if (third === "blobs" && second === "uploads") {
    if (last === "") return { kind: "uploads", repository: repository(3), query };
    if (UUID.test(last)) return { kind: "upload", repository: repository(3), id: last, query };
    throw new DistributionError(404, "BLOB_UPLOAD_UNKNOWN", "there is no such upload");
  }
  if (second === "blobs" && last === "uploads") return { kind: "uploads", repository: repository(2), query };
  if (second === "blobs") return { kind: "blob", repository: repository(2), digest: readDigest(last) };
  // Extensions, which only this program requests.
  if (third === "_delta" && (second === "recipe" || second === "pieces"))
    return { kind: second, repository: repository(3), digest: readDigest(last) };
  if (second === "_delta" && last === "probe") return { kind: "probe", repository: repository(2), query };
  if (third === "_size" && (second === "packed" || second === "pieces"))
    return { kind: `${second}-size`, repository: repository(3), digest: readDigest(last), query };
  if (second === "tags" && last === "list") return { kind: "tags", repository: repository(2), query };
  if (second === "manifests") return { kind: "manifest", repository: repository(2), reference: readReference(last) };
  throw noEndpoint();
}

/** Decodes a single segment, so that an encoded slash cannot split it. */
function decode(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    throw noEndpoint();
  }
}

function noEndpoint(): DistributionError {
  return new DistributionError(404, "UNSUPPORTED", "there is no such endpoint");
}

function readName(components: string[]): string {
  const name = components.join("/");
  if (name.length <= MAX_NAME && components.length > 0 && components.every((part) => COMPONENT.test(part))) return name;
  throw new DistributionError(400, "NAME_INVALID", "this is not a valid repository name");
}

function readReference(text: string): string {
  if (text.includes(":")) return readDigest(text);
  if (TAG.test(text)) return text;
  throw new DistributionError(400, "MANIFEST_INVALID", "this is neither a tag nor a digest");
}

/** Parses a digest. Accepts only SHA-256, in the notation of engines. */
export function readDigest(text: string | null): Digest {
  if (isDigest(text)) return text;
  throw new DistributionError(400, "DIGEST_INVALID", "this is not a SHA-256 digest");
}
