import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import "@fastify/swagger"; // for the type of `hide`

/** Where the build puts the page (scripts/build-page.js); the same from here in src/ and in dist/. */
const FOLDER = new URL("../../dist/page/files/", import.meta.url);

/**
 * What the browser may do with the page: load the files of this server, and ask this server; nothing in another site's frame, no code in the text of the
 * page, and no string of text as HTML (Trusted Types).
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
 * Serves the page at `/`, and its files below `/page/`. The page is the same for everybody and tells nothing of jobs: it asks the API, with the token that
 * a person enters. Its files have their hash in the name and may be kept for ever; `/` is asked for again each time, by its ETag.
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

/** Compares as RFC 9110, 13.1.2: `W/` in front of an ETag does not count. */
function isKnown(header: string | undefined, etag: string | undefined): boolean {
  const known = (header ?? "").split(",").map((part) => part.trim().replace(/^W\//, ""));
  return known.some((part) => part === "*" || part === etag);
}
