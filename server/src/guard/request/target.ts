import { isAtLeast } from "docker-over-ssh/builds";
import { Refusal } from "../refusal.ts";

/** The parts of a request target. */
export interface Target {
  /** e.g. `1.51`; undefined: unversioned */
  apiVersion: string | undefined;
  /** Without the version: segments of letters, digits and `._:@+-` with one slash before each */
  path: string;
  /** Without the question mark */
  query: string;
}

/** Maximum bytes. The filters of a docker command take some hundred; build arguments are also in the query. */
const MAX_TARGET = 64 * 1024;
/** Maximum bytes of the path alone */
const MAX_PATH = 4096;

/**
 * Parses a target that every parser interprets in the same way: no escapes except `@` and `:` in names of images, no
 * double slashes, no `.` or `..` in the path, and neither scheme nor fragment.
 *
 * @throws Refusal 400 `target.length`, `target.form`, `target.encoded`, `target.segments`, `api.form`
 */
export function parseTarget(target: string): Target {
  if (target.length > MAX_TARGET) throw invalid("target.length", `the address is longer than ${MAX_TARGET} bytes`, 414);
  if (!target.startsWith("/")) throw invalid("target.form", "the address must begin with a slash");
  if (!/^[\x21-\x7e]*$/.test(target) || target.includes("#")) {
    throw invalid("target.form", "the address has a space, a fragment, or characters that are not ASCII");
  }
  const mark = target.indexOf("?");
  const rawPath = mark === -1 ? target : target.slice(0, mark);
  const query = mark === -1 ? "" : target.slice(mark + 1);
  const path = withPlainNames(rawPath);
  checkPath(path);
  return { ...withoutVersion(path), query };
}

/** Calls about images. In names of images, an at sign and a colon have a meaning */
const ABOUT_IMAGES = /^(?:\/v[0-9.]+)?\/images\//;

/**
 * docker-py sends `app@sha256:…` as `app%40sha256:…`. Both characters are allowed in a path, and neither separates
 * segments, so decoding them once does not admit another path. Text that is escaped twice stays escaped, and is
 * refused.
 */
function withPlainNames(path: string): string {
  if (!ABOUT_IMAGES.test(path)) return path;
  return path.replaceAll(/%40|%3a/gi, (escaped) => (escaped === "%40" ? "@" : ":"));
}

function checkPath(path: string): void {
  if (path.length > MAX_PATH) throw invalid("target.length", `the path is longer than ${MAX_PATH} bytes`, 414);
  if (path.includes("%")) throw invalid("target.encoded", "the path has escaped characters: write them unescaped");
  if (!/^[A-Za-z0-9._:@+/-]*$/.test(path)) {
    throw invalid("target.form", "the path has invalid characters");
  }
  const segments = path.slice(1).split("/");
  if (segments.some((segment) => segment === "" || segment === "." || segment === "..")) {
    throw invalid("target.segments", "the path has an empty segment, or a segment of dots");
  }
}

function withoutVersion(path: string): { apiVersion: string | undefined; path: string } {
  const [, version, rest] = /^\/v(\d[^/]*)(\/.*)?$/.exec(path) ?? [];
  if (version === undefined) return { apiVersion: undefined, path };
  // Engines ignore leading zeros of a minor version.
  if (!/^[1-9]\d?\.(?:0|[1-9]\d{0,2})$/.test(version) || rest === undefined) {
    throw invalid("api.form", "the version in the path must be like v1.51, with a call after it");
  }
  return { apiVersion: version, path: rest };
}

/**
 * Checks the version of the API. The messages are the engine's: docker commands read the newest supported version from them.
 *
 * @throws Refusal 400 `api.version`
 */
export function checkApiVersion(
  version: string | undefined,
  { apiVersion, minApiVersion }: { apiVersion: string; minApiVersion: string },
): void {
  if (version === undefined) return;
  if (!isAtLeast(version, minApiVersion)) {
    throw invalid(
      "api.version",
      `client version ${version} is too old. Minimum supported API version is ${minApiVersion}, please upgrade your client to a newer version`,
    );
  }
  if (!isAtLeast(apiVersion, version)) {
    throw invalid(
      "api.version",
      `client version ${version} is too new. Maximum supported API version is ${apiVersion}`,
    );
  }
}

function invalid(rule: string, message: string, statusCode = 400): Refusal {
  return new Refusal(rule, message, { statusCode });
}
