import { Readable } from "node:stream";
import { expect, test } from "vitest";
import type { BuildRequest } from "../../../../src/guard/build-request.ts";
import { baseResolver } from "../../../../src/guard/classic/bases.ts";
import { requestCredentials } from "../../../../src/guard/classic/registry-credentials.ts";
import { EngineAnswer, type EngineRequest } from "../../../../src/guard/engine/engine-api.ts";
import type { Policy } from "../../../../src/guard/policy/policy.ts";
import { noSuchImage, Refusal } from "../../../../src/guard/refusal.ts";
import { PLAIN_BUILD } from "../../../fixtures/guard/plain-build.ts";
import { callerOf, tenantOf } from "../../../fixtures/guard/tenants.ts";

const DIGEST = `sha256:${"d".repeat(64)}`;

interface Scene {
  policy?: Partial<Policy>;
  request?: Partial<BuildRequest>;
  /** The engine's images by the requested name: an ID, or an ID and the actual name of the image */
  images?: Readonly<Record<string, string | { id: string; named: string }>>;
  /** The registry's answer to a request for a digest. Default: {@link DIGEST} */
  digest?: string | EngineAnswer;
  /** Lines of a pull */
  lines?: readonly object[];
}

/** Finds one base. The tenant has `own:v1`. */
async function find(given: string, { policy, request, images = {}, digest = DIGEST, lines = [] }: Scene = {}) {
  const requests: string[] = [];
  const stored: Record<string, string | { id: string; named: string }> = { "sha256:own": "sha256:own", ...images };
  const note = ({ method, path, query = [], headers }: EngineRequest): void => {
    const auth = headers?.["x-registry-auth"];
    const user =
      auth === undefined ? "" : ` as ${String(JSON.parse(Buffer.from(auth, "base64url").toString()).username)}`;
    requests.push(`${method} ${[path, ...query.map((pair) => pair.join("="))].join(" ")}${user}`);
  };
  const resolve = baseResolver(
    callerOf({ ...tenantOf("a"), policy: { ...tenantOf("a").policy, bases: [], ...policy } }),
    { ...PLAIN_BUILD, ...request },
    {
      engine: {
        async json(asking) {
          note(asking);
          if (asking.path.startsWith("/distribution/")) {
            if (digest instanceof EngineAnswer) throw digest;
            return { Descriptor: { digest } };
          }
          const name = /^\/images\/(.*)\/json$/.exec(asking.path)?.[1] ?? "";
          const found = stored[name];
          if (found === undefined) throw new EngineAnswer(404, "No such image");
          return typeof found === "string"
            ? { Id: found, RepoTags: [name] }
            : { Id: found.id, RepoTags: [found.named] };
        },
        async request(asking) {
          note(asking);
          stored[`${asking.query?.[0]?.[1]}@${asking.query?.[1]?.[1]}`] = "sha256:pulled";
          return { body: Readable.from(lines.map((line) => Buffer.from(`${JSON.stringify(line)}\n`))) } as never;
        },
        version: async () => await Promise.reject(new Error("not requested")),
      },
      hasContainerdStore: async () => false,
      own: {
        async find(_tenant, name) {
          if (name === "broken:v1") throw new Refusal("engine.unreachable", "it is down", { statusCode: 502 });
          if (name !== "own:v1") throw noSuchImage(name);
          return { id: "sha256:own", names: [], created: 0, size: 0 };
        },
      },
      credentials: async (host) => ({ username: `user-of-${host}`, password: "" }),
      onLine: () => {},
      signal: new AbortController().signal,
    },
  );
  return { base: await resolve(given), requests };
}

test("prefers a tenant's own image, without a request to a registry", async () => {
  const { base, requests } = await find("own:v1", { policy: { pulls: ["*"] } });
  expect(base.id).toBe("sha256:own");
  expect(requests).toEqual(["GET /images/sha256:own/json"]);
});

test("returns the host's image if the policy allows it, and with --pull the registry's", async () => {
  const images = { "docker.io/library/alpine:3": "sha256:host" };
  const policy = { bases: ["docker.io/library/alpine"] };
  expect((await find("alpine:3", { policy, images })).base.id).toBe("sha256:host");
  expect((await find("alpine:3", { policy, images, request: { pull: true } })).base.id).toBe("sha256:pulled");
});

test("pulls an image of a registry by its digest as the tenant, even if the host has an image of that name", async () => {
  const images = { "r.example/a:1": "sha256:host" };
  const { base, requests } = await find("r.example/a:1", { policy: { pulls: ["r.example/*"] }, images });
  expect(base.id).toBe("sha256:pulled");
  expect(requests).toEqual([
    "GET /distribution/r.example/a:1/json as user-of-r.example",
    `GET /images/r.example/a@${DIGEST}/json`,
    `POST /images/create fromImage=r.example/a tag=${DIGEST} as user-of-r.example`,
    `GET /images/r.example/a@${DIGEST}/json`,
  ]);
});

test("requests an image from the registry even if the host has it by its digest", async () => {
  const images = { [`r.example/a@${DIGEST}`]: "sha256:host" };
  const scene = { policy: { pulls: ["r.example/*"] }, images };
  await expect(
    find(`r.example/a@${DIGEST}`, { ...scene, digest: new EngineAnswer(401, "unauthorized") }),
  ).rejects.toMatchObject({ rule: "base.registry", statusCode: 404 });
  expect((await find(`r.example/a@${DIGEST}`, scene)).base.id).toBe("sha256:host");
});

test("does not return another repository's image of the digest in a name", async () => {
  const images = {
    [`docker.io/library/alpine@${DIGEST}`]: { id: "sha256:b", named: "guard.internal/b/r.example/secret:1" },
  };
  const policy = { bases: ["docker.io/library/alpine"] };
  const { requests } = await find(`alpine@${DIGEST}`, { policy, images });
  expect(requests[1]).toMatch(/^GET \/distribution\//);
});

test.each<[rule: string, given: string, scene: Scene]>([
  ["registry.not-public", "169.254.169.254/base:v1", { policy: { pulls: ["*"] } }],
  ["registry.not-public", "127.0.0.1:5000/base:v1", { policy: { bases: ["*"] } }],
  ["base.refused", "alpine:3", { images: { "docker.io/library/alpine:3": "sha256:host" } }],
  ["engine.unreachable", "broken:v1", { policy: { bases: ["*"] } }],
  ["name.reserved", "guard.internal/b/docker.io/library/app:1", { policy: { bases: ["*"] } }],
  ["base.registry", "r.example/a:1", { policy: { pulls: ["r.example/*"] }, digest: "sha256:../x" }],
  [
    "base.registry",
    "r.example/a:1",
    { policy: { pulls: ["r.example/*"] }, lines: [{ status: "Pulling" }, { error: "no space" }] },
  ],
])("%s: %s %j", async (rule, given, scene) => {
  await expect(find(given, scene)).rejects.toMatchObject({ rule });
});

test("finds only the registry's credentials in a request", () => {
  const of = (username: string) => ({ username, password: "" });
  const credentials = { "https://index.docker.io/v1/": of("hub"), "https://r.example/v2/": of("one") };
  const request = { ...PLAIN_BUILD, credentials };
  expect(requestCredentials(request, "docker.io")?.username).toBe("hub");
  expect(requestCredentials(request, "r.example")?.username).toBe("one");
  expect(requestCredentials(request, "r.example:5000")).toBeUndefined();
  expect(requestCredentials(request, "example")).toBeUndefined();
});
