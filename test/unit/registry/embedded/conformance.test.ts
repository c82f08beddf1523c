import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { digestOf } from "../../../../src/image/digest.ts";
import { MEDIA_TYPE } from "../../../../src/image/manifest.ts";
import { AcceptAllPolicy } from "../../../../src/engine-push/accept-all-policy.ts";
import type { EmbeddedRegistry } from "../../../../src/registry/embedded/server.ts";
import { clientOf, codeOf, endRegistry, openRegistry, type Client } from "./client.ts";
import { blob, image, layer } from "./test-images.ts";

/**
 * The requests of the OCI distribution spec's conformance suite (v1.1: pull, push and content discovery), without those for deletion and
 * referrers.
 */

/** Method, path, request, status and the rest of the response. In the path, `@` is the last Location, and `=` the previous Location. */
type Exchange = [string, string, { headers?: Record<string, string>; body?: Buffer | string }, number, Expected?];

interface Expected {
  /** The code in an error body. */
  code?: string;
  headers?: Record<string, unknown>;
  body?: Buffer | string;
  /** The body as JSON. */
  json?: unknown;
}

const { bytes, digest } = blob("0123456789".repeat(30));
const other = blob("another blob");
const missing = digestOf("missing");
const pushed = image([layer("a layer")]);
const manifestType = { "content-type": MEDIA_TYPE.ociManifest };
const described = (size: number | string, of: string) => ({
  "content-length": String(size),
  "docker-content-digest": of,
});
const chunk = (first: number, last: number) => ({
  headers: { "content-range": `${first}-${last}`, "content-type": "application/octet-stream" },
  body: bytes.subarray(first, last + 1),
});
const upload = (it: { bytes: Buffer; digest: string }): Exchange[] => [
  ["POST", `/v2/app/blobs/uploads/?digest=${it.digest}`, { body: it.bytes }, 201],
];
const pushImage: Exchange[] = [
  ...pushed.layers.flatMap(upload),
  ...upload(pushed.config),
  ["PUT", "/v2/app/manifests/v1", { headers: manifestType, body: pushed.manifest }, 201],
];
const atTags = (tags: string[]): Exchange[] =>
  tags.map((tag) => ["PUT", `/v2/app/manifests/${tag}`, { headers: manifestType, body: pushed.manifest }, 201]);
const isHere: Exchange = ["GET", `/v2/app/blobs/${digest}`, {}, 200, { body: bytes, headers: described(300, digest) }];

const PULL: Record<string, Exchange[]> = {
  "the base (end-1)": [
    ["GET", "/v2/", {}, 200, { headers: { "docker-distribution-api-version": "registry/2.0" } }],
    ["GET", "/v2", {}, 200],
  ],
  "blobs (end-2)": [
    ["HEAD", `/v2/app/blobs/${digest}`, {}, 404, { body: "" }],
    ["GET", `/v2/app/blobs/${digest}`, {}, 404, { code: "BLOB_UNKNOWN" }],
    ...upload({ bytes, digest }),
    ["HEAD", `/v2/app/blobs/${digest}`, {}, 200, { body: "", headers: described(300, digest) }],
    isHere,
    ["GET", `/v2/app/blobs/${encodeURIComponent(digest)}`, {}, 200],
    ["GET", `/v2/else/blobs/${digest}`, {}, 404, { code: "BLOB_UNKNOWN" }],
    ["GET", "/v2/app/blobs/sha256:123", {}, 400, { code: "DIGEST_INVALID" }],
    ["GET", `/v2/app/blobs/sha512:${"0".repeat(128)}`, {}, 400, { code: "DIGEST_INVALID" }],
  ],
  "an empty blob": [
    ...upload(blob("")),
    ["GET", `/v2/app/blobs/${blob("").digest}`, {}, 200, { body: "", headers: described(0, blob("").digest) }],
  ],
  "parts of blobs (RFC 9110, 14)": [
    ...upload({ bytes, digest }),
    ...(
      [
        ["bytes=0-9", 206, "bytes 0-9/300", bytes.subarray(0, 10)],
        ["bytes=290-", 206, "bytes 290-299/300", bytes.subarray(290)],
        ["bytes=290-900", 206, "bytes 290-299/300", bytes.subarray(290)],
        ["bytes=-7", 206, "bytes 293-299/300", bytes.subarray(293)],
        ["bytes=-900", 206, "bytes 0-299/300", bytes],
        ["bytes=300-", 416, "bytes */300", undefined],
        ["bytes=-0", 416, "bytes */300", undefined],
        ["bytes=9-3", 200, undefined, bytes],
        ["bytes=0-1,5-6", 200, undefined, bytes],
        ["lines=0-1", 200, undefined, bytes],
      ] as const
    ).map(([range, status, contentRange, body]): Exchange => [
      "GET",
      `/v2/app/blobs/${digest}`,
      { headers: { range } },
      status,
      {
        headers: { "content-range": contentRange, ...(body && { "content-length": String(body.length) }) },
        ...(body === undefined ? { code: "SIZE_INVALID" } : { body }),
      },
    ]),
    ["HEAD", `/v2/app/blobs/${digest}`, { headers: { range: "bytes=0-9" } }, 200, { headers: described(300, digest) }],
    ["GET", `/v2/app/blobs/${digest}`, { headers: { range: "bytes=0-9", "if-range": `"${digest}"` } }, 206],
    [
      "GET",
      `/v2/app/blobs/${digest}`,
      { headers: { range: "bytes=0-9", "if-range": '"other"' } },
      200,
      { body: bytes },
    ],
  ],
  "manifests (end-3)": [
    ["HEAD", "/v2/app/manifests/v1", {}, 404, { body: "" }],
    ["GET", "/v2/app/manifests/v1", {}, 404, { code: "MANIFEST_UNKNOWN" }],
    ["GET", `/v2/app/manifests/${missing}`, {}, 404, { code: "MANIFEST_UNKNOWN" }],
    ...pushImage,
    ...["v1", pushed.descriptor.digest].flatMap((reference): Exchange[] => [
      [
        "GET",
        `/v2/app/manifests/${reference}`,
        { headers: { accept: MEDIA_TYPE.ociManifest } },
        200,
        {
          body: pushed.manifest,
          headers: { ...manifestType, ...described(pushed.descriptor.size, pushed.descriptor.digest) },
        },
      ],
      [
        "HEAD",
        `/v2/app/manifests/${reference}`,
        {},
        200,
        { body: "", headers: { ...manifestType, ...described(pushed.descriptor.size, pushed.descriptor.digest) } },
      ],
    ]),
  ],
};

const PUSH: Record<string, Exchange[]> = {
  "POST, then PUT (end-4a, end-6)": [
    [
      "POST",
      "/v2/app/blobs/uploads/",
      {},
      202,
      { headers: { location: expect.stringMatching(UPLOAD()), range: "0-0" } },
    ],
    ["PUT", `@?digest=${digest}`, { body: bytes }, 201, { headers: { location: `/v2/app/blobs/${digest}` } }],
    isHere,
    ["PUT", `=?digest=${digest}`, { body: bytes }, 404, { code: "BLOB_UPLOAD_UNKNOWN" }],
  ],
  "one POST (end-4b)": [
    [
      "POST",
      `/v2/app/blobs/uploads/?digest=${digest}`,
      { body: bytes },
      201,
      { headers: { location: `/v2/app/blobs/${digest}`, "docker-content-digest": digest } },
    ],
    isHere,
  ],
  "one POST with a wrong digest": [
    ["POST", `/v2/app/blobs/uploads/?digest=${other.digest}`, { body: bytes }, 400, { code: "DIGEST_INVALID" }],
    ["POST", "/v2/app/blobs/uploads/?digest=sha256:no", { body: bytes }, 400, { code: "DIGEST_INVALID" }],
    ["HEAD", `/v2/app/blobs/${other.digest}`, {}, 404],
  ],
  "PATCH in one chunk, without a range": [
    ["POST", "/v2/app/blobs/uploads/", {}, 202],
    ["PATCH", "@", { headers: { "transfer-encoding": "chunked" }, body: bytes }, 202, { headers: { range: "0-299" } }],
    ["PUT", `@?digest=${digest}`, { headers: { "content-length": "0" } }, 201],
    isHere,
  ],
  "PATCH in chunks, and an empty PUT (end-5)": [
    ["POST", "/v2/app/blobs/uploads/", { headers: { "content-length": "0" } }, 202],
    ["PATCH", "@", chunk(0, 99), 202, { headers: { range: "0-99", location: expect.stringMatching(UPLOAD()) } }],
    ["PATCH", "@", chunk(100, 299), 202, { headers: { range: "0-299" } }],
    ["PUT", `@?digest=${digest}`, { headers: { "content-length": "0" } }, 201],
    isHere,
  ],
  "PATCH in chunks, the last with the PUT": [
    ["POST", "/v2/app/blobs/uploads/", {}, 202],
    ["PATCH", "@", chunk(0, 199), 202],
    ["PUT", `@?digest=${digest}`, chunk(200, 299), 201],
    isHere,
  ],
  "chunks out of order are refused, and the upload goes on (end-13)": [
    ["POST", "/v2/app/blobs/uploads/", {}, 202],
    ["PATCH", "@", chunk(100, 199), 416, { code: "BLOB_UPLOAD_INVALID", headers: { range: "0-0" } }],
    ["GET", "@", {}, 204, { headers: { range: "0-0", location: expect.stringMatching(UPLOAD()) } }],
    ["PATCH", "@", chunk(0, 99), 202],
    ["PATCH", "@", chunk(0, 99), 416, { headers: { range: "0-99", location: expect.stringMatching(UPLOAD()) } }],
    ["PUT", `@?digest=${digest}`, chunk(200, 299), 416],
    ["GET", "@", {}, 204, { headers: { range: "0-99" } }],
    ["PUT", `@?digest=${digest}`, chunk(100, 299), 201],
    isHere,
  ],
  "PUT with a wrong digest": [
    ["POST", "/v2/app/blobs/uploads/", {}, 202],
    ["PATCH", "@", chunk(0, 299), 202],
    ["PUT", `@?digest=${other.digest}`, { headers: { "content-length": "0" } }, 400, { code: "DIGEST_INVALID" }],
    ["HEAD", `/v2/app/blobs/${other.digest}`, {}, 404],
    ["HEAD", `/v2/app/blobs/${digest}`, {}, 404],
  ],
  "PUT without a digest": [
    ["POST", "/v2/app/blobs/uploads/", {}, 202],
    ["PUT", "@", { body: bytes }, 400, { code: "DIGEST_INVALID" }],
  ],
  "an upload that is cancelled (end-14)": [
    ["POST", "/v2/app/blobs/uploads/", {}, 202],
    ["PATCH", "@", chunk(0, 99), 202],
    ["DELETE", "@", {}, 204],
    ["GET", "@", {}, 404, { code: "BLOB_UPLOAD_UNKNOWN" }],
    ["PATCH", "@", chunk(100, 199), 404, { code: "BLOB_UPLOAD_UNKNOWN" }],
    ["DELETE", "@", {}, 404, { code: "BLOB_UPLOAD_UNKNOWN" }],
  ],
  "a mount of a missing blob starts an upload (end-11)": [
    ["POST", `/v2/app/blobs/uploads/?mount=${digest}&from=else`, {}, 202],
    ["PUT", `@?digest=${digest}`, { body: bytes }, 201],
    isHere,
  ],
  "a mount of a present blob needs no upload": [
    ...upload({ bytes, digest }),
    [
      "POST",
      `/v2/app/blobs/uploads/?mount=${digest}&from=else`,
      {},
      201,
      { headers: { location: `/v2/app/blobs/${digest}`, "docker-content-digest": digest } },
    ],
  ],
  "the same blob twice": [...upload({ bytes, digest }), ...upload({ bytes, digest }), isHere],
  "a manifest by tag and by digest (end-7)": [
    ...pushImage,
    [
      "PUT",
      `/v2/app/manifests/${pushed.descriptor.digest}`,
      { headers: manifestType, body: pushed.manifest },
      201,
      {
        headers: {
          location: `/v2/app/manifests/${pushed.descriptor.digest}`,
          "docker-content-digest": pushed.descriptor.digest,
        },
      },
    ],
    ["GET", "@", {}, 200, { body: pushed.manifest }],
  ],
  "a manifest whose type has parameters, or is its own field only": [
    ...pushImage,
    [
      "PUT",
      "/v2/app/manifests/v2",
      { headers: { "content-type": `${MEDIA_TYPE.ociManifest}; charset=utf-8` }, body: pushed.manifest },
      201,
    ],
    ["GET", "/v2/app/manifests/v2", {}, 200, { headers: manifestType }],
    ["PUT", "/v2/app/manifests/v3", { body: pushed.manifest }, 201],
    ["GET", "/v2/app/manifests/v3", {}, 200, { headers: manifestType }],
  ],
  "an index": [
    ...pushImage,
    [
      "PUT",
      "/v2/app/manifests/all",
      {
        headers: { "content-type": MEDIA_TYPE.ociIndex },
        body: JSON.stringify({ schemaVersion: 2, manifests: [pushed.descriptor] }),
      },
      201,
    ],
    ["GET", "/v2/app/manifests/all", {}, 200, { headers: { "content-type": MEDIA_TYPE.ociIndex } }],
  ],
  "a manifest with a missing subject": [
    ...pushImage,
    [
      "PUT",
      "/v2/app/manifests/referrer",
      {
        headers: manifestType,
        body: JSON.stringify({
          ...(JSON.parse(pushed.manifest.toString()) as object),
          subject: { mediaType: MEDIA_TYPE.ociManifest, digest: missing, size: 1 },
        }),
      },
      201,
      { headers: { "oci-subject": undefined } },
    ],
  ],
  "invalid manifests": [
    ...[
      "no JSON",
      "null",
      "[]",
      "{}",
      JSON.stringify({ config: {}, layers: [] }),
      JSON.stringify({ manifests: [{ digest: "sha256:1" }] }),
      JSON.stringify({ manifests: Array.from({ length: 1001 }, () => pushed.descriptor) }),
    ].map((body): Exchange => [
      "PUT",
      "/v2/app/manifests/v1",
      { headers: manifestType, body },
      400,
      { code: "MANIFEST_INVALID" },
    ]),
    [
      "PUT",
      "/v2/app/manifests/v1",
      { headers: { "content-type": MEDIA_TYPE.ociIndex }, body: pushed.manifest },
      400,
      { code: "MANIFEST_INVALID" },
    ],
    ["GET", "/v2/app/manifests/v1", {}, 404],
  ],
  "a manifest before its blobs": [
    [
      "PUT",
      "/v2/app/manifests/v1",
      { headers: manifestType, body: pushed.manifest },
      404,
      { code: "MANIFEST_BLOB_UNKNOWN" },
    ],
  ],
  "a manifest by another's digest": [
    ...pushImage,
    [
      "PUT",
      `/v2/app/manifests/${missing}`,
      { headers: manifestType, body: pushed.manifest },
      400,
      { code: "DIGEST_INVALID" },
    ],
    ["GET", `/v2/app/manifests/${missing}`, {}, 404],
  ],
};

const DISCOVERY: Record<string, Exchange[]> = {
  "tags, and a page of them (end-8)": [
    ...pushImage,
    ...atTags(["c", "B", "a"]),
    [
      "GET",
      "/v2/app/tags/list",
      {},
      200,
      { json: { name: "app", tags: ["B", "a", "c", "v1"] }, headers: { link: undefined } },
    ],
    [
      "GET",
      "/v2/app/tags/list?n=2",
      {},
      200,
      { json: { name: "app", tags: ["B", "a"] }, headers: { link: '</v2/app/tags/list?n=2&last=a>; rel="next"' } },
    ],
    [
      "GET",
      "/v2/app/tags/list?n=2&last=a",
      {},
      200,
      { json: { name: "app", tags: ["c", "v1"] }, headers: { link: undefined } },
    ],
    ["GET", "/v2/app/tags/list?last=a", {}, 200, { json: { name: "app", tags: ["c", "v1"] } }],
    ["GET", "/v2/app/tags/list?last=b", {}, 200, { json: { name: "app", tags: ["c", "v1"] } }],
    ["GET", "/v2/app/tags/list?n=0", {}, 200, { json: { name: "app", tags: [] }, headers: { link: undefined } }],
    ["GET", "/v2/app/tags/list?n=99", {}, 200, { json: { name: "app", tags: ["B", "a", "c", "v1"] } }],
    ["GET", "/v2/app/tags/list?n=-1", {}, 400, { code: "UNSUPPORTED" }],
  ],
  "tags of an empty and of an unknown repository": [
    ["GET", "/v2/app/tags/list", {}, 200, { json: { name: "app", tags: [] } }],
    ["GET", "/v2/else/tags/list", {}, 404, { code: "NAME_UNKNOWN" }],
  ],
  "unsupported endpoints": [
    ["GET", `/v2/app/referrers/${digest}`, {}, 404, { code: "UNSUPPORTED" }],
    ["GET", "/v2/_catalog", {}, 404, { code: "UNSUPPORTED" }],
    ["GET", "/v1/", {}, 404, { code: "UNSUPPORTED" }],
    ["GET", "/", {}, 404, { code: "UNSUPPORTED" }],
    ["DELETE", "/v2/app/manifests/v1", {}, 405, { code: "UNSUPPORTED", headers: { allow: "GET, HEAD, PUT" } }],
    ["DELETE", `/v2/app/blobs/${digest}`, {}, 405, { code: "UNSUPPORTED", headers: { allow: "GET, HEAD" } }],
    ["PUT", "/v2/app/blobs/uploads/", {}, 405, { code: "UNSUPPORTED" }],
    ["POST", "/v2/", {}, 405, { code: "UNSUPPORTED" }],
    ["POST", "/v2/else/blobs/uploads/", {}, 403, { code: "DENIED" }],
    ["PUT", "/v2/else/manifests/v1", { headers: manifestType, body: pushed.manifest }, 403, { code: "DENIED" }],
  ],
};

let folder: string;
let registry: EmbeddedRegistry;
let client: Client;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "embedded-"));
  registry = await openRegistry(folder);
  registry.openPushSession("app", new AcceptAllPolicy("app"));
  client = await clientOf(registry);
});

afterEach(async () => {
  await endRegistry(registry, folder);
});

describe.each(Object.entries({ pull: PULL, push: PUSH, discovery: DISCOVERY }))("%s", (_, category) => {
  test.each(Object.entries(category))("%s", async (_, exchanges) => {
    const locations: string[] = [];
    for (const [method, path, options, status, { code, headers = {}, body, json } = {}] of exchanges) {
      const at = path.replace("@", locations.at(-1) ?? "").replace(/^=/, locations.at(-2) ?? "");
      const answer = await client(method, at, options);
      if (answer.headers.location !== undefined) locations.push(answer.headers.location);
      const hasError = status >= 400 && method !== "HEAD";
      // A single comparison shows all differences.
      expect({
        at: `${method} ${path}`,
        status: answer.status,
        code: codeOf(answer),
        headers: { ...absent(headers), ...answer.headers },
        body: answer.body.toString(),
        json: json && JSON.parse(answer.body.toString()),
      }).toEqual({
        at: `${method} ${path}`,
        status,
        code: code ?? (hasError ? SOME : undefined),
        headers: expect.objectContaining(headers) as object,
        body: body?.toString() ?? SOME,
        json,
      });
    }
  });
});

const SOME = expect.any(String) as string;

/** Makes missing headers comparable. */
function absent(headers: object): Record<string, undefined> {
  return Object.fromEntries(Object.keys(headers).map((name) => [name, undefined]));
}

function UPLOAD(): RegExp {
  return /^\/v2\/app\/blobs\/uploads\/[0-9a-f-]{36}$/;
}
