import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import "@fastify/swagger"; // for the type of `hide`

/**
 * The folder into which the build puts the page (scripts/build-page.js). The relative path is the same from src/ and
 * from dist/.
 */
const FOLDER = new URL("../../dist/page/files/", import.meta.url);

/**
 * The permissions of the page in the browser: it may load the files of this server, and send requests to this server.
 * It may not be in another site's frame, contain inline code, or insert text as HTML (Trusted Types).
 */
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
  "trusted-types 'none'",
].join("; ");

const HEADERS = {
  "content-security-policy": POLICY,
  "x-content-type-options": "nosniff",
  "x-frame-options": "DENY",
  "referrer-policy": "no-referrer",
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
  "permissions-policy": "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()",
};

const TYPES: Record<string, string> = {
  html: "text/html; charset=utf-8",
  js: "text/javascript; charset=utf-8",
  css: "text/css; charset=utf-8",
  svg: "image/svg+xml",
};

/**
 * Serves the page at `/`, and its files below `/page/`. The page is the same for everybody and contains no jobs: it
 * queries the API with the token that a person enters. Its files have their hash in the name and may be cached for
 * ever; `/` is revalidated each time by its ETag.
 */
export async function servePage(app: FastifyInstance): Promise<void> {
  for (const name of readdirSync(FOLDER)) {
    const content = readFileSync(new URL(name, FOLDER));
    const isPage = name === "index.html";
    const headers = {
      ...HEADERS,
      "content-type": TYPES[name.replace(/.*\./, "")] ?? "application/octet-stream",
      "cache-control": isPage ? "no-cache" : "public, max-age=31536000, immutable",
      etag: `"${createHash("sha256").update(content).digest("base64url")}"`,
    };
    app.get(isPage ? "/" : `/page/${name}`, { schema: { hide: true }, config: { scope: "open" } }, (request, reply) =>
      send(request, reply, headers, content),
    );
  }
}

function send(
  request: FastifyRequest,
  reply: FastifyReply,
  headers: Record<string, string>,
  content: Buffer,
): FastifyReply {
  reply.headers(headers);
  return isKnown(request.headers["if-none-match"], headers["etag"]) ? reply.code(304).send() : reply.send(content);
}

/** Compares ETags as RFC 9110, 13.1.2: ignores `W/` in front of an ETag. */
function isKnown(header: string | undefined, etag: string | undefined): boolean {
  const known = (header ?? "").split(",").map((part) => part.trim().replace(/^W\//, ""));
  return known.some((part) => part === "*" || part === etag);
}
