import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { pack } from "tar-stream";
import { describe, expect, test } from "vitest";
import type { ApiObject } from "../../../../src/guard/backend.ts";
import type { BuildRequest } from "../../../../src/guard/build-request.ts";
import { createClassicBuilds } from "../../../../src/guard/classic/classic-builds.ts";
import type { ListedImage } from "../../../../src/guard/classic/steps.ts";
import { EngineAnswer, type EngineRequest } from "../../../../src/guard/engine/engine-api.ts";
import { noSuchImage, Refusal } from "../../../../src/guard/refusal.ts";
import type { Tenant } from "../../../../src/guard/tenant.ts";
import { PLAIN_BUILD } from "../../../fixtures/guard/plain-build.ts";
import { callerOf, tenantOf } from "../../../fixtures/guard/tenants.ts";

const idOf = (digit: string): string => `sha256:${digit.repeat(64)}`;
const LABEL = { "docker-over-ssh.guard.tenant": "a" };
const BUILT = { aux: { ID: idOf("1") } };

interface Scene {
  dockerfile?: string;
  request?: Partial<BuildRequest>;
  tenant?: Partial<Tenant>;
  /** The engine's answer to the build */
  lines?: readonly object[] | EngineAnswer;
  /** All images of the engine */
  listed?: readonly ListedImage[];
  hasContext?: boolean;
  /** IDs of the tenant's images */
  own?: readonly string[];
  /** Whether the tenant may have one more image */
  hasRoom?: boolean;
  /** A quota that ends the build before its last line */
  quota?: Refusal;
}

async function build({ dockerfile = "FROM scratch\nCOPY x /\n", lines = [BUILT], ...scene }: Scene = {}) {
  const { request = {}, listed = [], own = [], hasRoom = true, hasContext = true } = scene;
  const requests: string[] = [];
  const auths: string[] = [];
  let query: Record<string, string> = {};
  const answer = (given: readonly object[]) =>
    ({ body: Readable.from(given.map((line) => Buffer.from(`${JSON.stringify(line)}\n`))) }) as never;
  const note = ({ method, path, query: pairs = [], headers }: EngineRequest): void => {
    requests.push([method, path, ...(path === "/build" ? [] : pairs.map((pair) => pair.join("=")))].join(" "));
    const auth = headers?.["x-registry-auth"];
    if (auth !== undefined) auths.push(Buffer.from(auth, "base64url").toString());
  };
  const taken: string[] = [];
  const steps: string[] = [];
  const counted: string[] = [];
  const slot = new AbortController();
  /** Yields the engine's answer to a build, which breaks off when the request is aborted. */
  async function* untilQuota(given: readonly object[], signal: AbortSignal) {
    for (const line of given.slice(0, -1)) yield Buffer.from(`${JSON.stringify(line)}\n`);
    slot.abort(scene.quota);
    if (signal.aborted) throw new Error("aborted");
    yield Buffer.from(`${JSON.stringify(given.at(-1))}\n`);
  }
  const builds = createClassicBuilds({
    engine: {
      async json(asking) {
        note(asking);
        if (asking.path === "/images/json") return listed;
        throw new EngineAnswer(404, "no such thing");
      },
      async request(asking) {
        note(asking);
        if (asking.path !== "/build") return answer([]);
        query = Object.fromEntries(asking.query ?? []);
        await buffer(asking.body as Readable);
        if (lines instanceof EngineAnswer) throw lines;
        if (scene.quota !== undefined) return { body: Readable.from(untilQuota(lines, asking.signal)) } as never;
        return answer(lines);
      },
      version: async () => await Promise.reject(new Error("not requested")),
    },
    hasContainerdStore: async () => false,
    own: {
      list: async () => own.map((id) => ({ id, names: [], created: 0, size: 0 })),
      find: async (_tenant, name) => Promise.reject(noSuchImage(name)),
      async take(_tenant, id, _signal, names) {
        if (!hasRoom) throw new Refusal("quota.images", "no");
        taken.push(id);
        counted.push(...(names ?? []));
      },
      takeIntermediate: async (_tenant, ids) => void steps.push(...ids),
    },
    limits: {
      startBuild: async () => ({ signal: slot.signal, [Symbol.asyncDispose]: async () => {} }),
    },
    cgroupParent: async () => "/pod",
    guardCredentials: async (_tenant, host) =>
      host === "held.example" ? { username: "guard", password: "" } : undefined,
  });
  const tar = pack();
  tar.entry({ name: "Dockerfile" }, dockerfile);
  tar.finalize();
  const output: ApiObject[] = [];
  const caller = callerOf({ ...tenantOf("a"), ...scene.tenant });
  const done = builds.build(
    caller,
    { ...PLAIN_BUILD, ...request },
    hasContext ? Readable.from(tar) : undefined,
    (line) => void output.push(line),
  );
  const error: unknown = await done.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  return { error, requests, auths, query, taken, counted, steps, output, rule: caller.note.rule };
}

describe("the guard requests", () => {
  test("an image without a name, in the tenant's cgroup and network, and names it after it is the tenant's", async () => {
    const labels = { team: "b", "docker-over-ssh.guard.tenant": "b" };
    const { policy } = tenantOf("a");
    const found = await build({
      request: { labels, network: "default" },
      tenant: { labels: { team: "a", "docker-over-ssh.guard.x": "y" }, policy: { ...policy, hasNetwork: false } },
    });
    expect(found.query).toMatchObject({
      version: "1",
      cgroupparent: "/pod",
      networkmode: "none",
      rm: "1",
      forcerm: "1",
    });
    expect(JSON.parse(found.query["labels"] ?? "")).toEqual({ team: "a", ...LABEL });
    expect(found.query["t"]).toBeUndefined();
    expect(found.taken).toEqual([idOf("1")]);
    expect(found.requests.at(-1)).toBe(
      `POST /images/${idOf("1")}/tag repo=guard.internal/a/docker.io/library/app tag=latest`,
    );
  });

  test("names that count before the image gets them, with the last stage, after the earlier stages", async () => {
    const { taken, counted, requests } = await build({
      request: { names: ["app", "app:v1"] },
      lines: [BUILT, { aux: { ID: idOf("2") } }, BUILT],
    });
    expect(taken).toEqual([idOf("2"), idOf("1")]);
    expect(counted).toEqual(["latest", "v1"].map((tag) => `guard.internal/a/docker.io/library/app:${tag}`));
    expect(requests.filter((line) => line.includes("/tag "))).toHaveLength(2);
    const refused = await build({ hasRoom: false });
    expect(refused.error).toMatchObject({ rule: "quota.images" });
    expect(refused.requests.join()).not.toContain("/tag ");
  });

  test("no cache if the tenant has none, because an engine would use the steps of all builds", async () => {
    expect((await build()).query).toMatchObject({ nocache: "1" });
    const { query } = await build({ own: [idOf("7")] });
    expect([query["nocache"], query["cachefrom"]]).toEqual([undefined, JSON.stringify([idOf("7")])]);
  });

  test("a base of a registry, with the guard's credentials rather than the tenant's", async () => {
    const { policy } = tenantOf("a");
    const credentials = {
      "held.example": { username: "tenant", password: "" },
      "r.example": { username: "tenant", password: "" },
    };
    const as = async (host: string): Promise<string> => {
      const tenant = { policy: { ...policy, bases: [], pulls: ["*"] } };
      const { auths, error } = await build({ dockerfile: `FROM ${host}/a:1`, request: { credentials }, tenant });
      expect(error).toMatchObject({ rule: "base.registry" });
      return auths.join();
    };
    expect(await as("held.example")).toContain('"username":"guard"');
    expect(await as("r.example")).toContain('"username":"tenant"');
  });
});

test.each<[string, Scene]>([
  ["an address", { request: { remote: "https://example.com/x.git" } }],
  ["in a session", { request: { session: "s1" }, hasContext: false }],
])("refuses a context that the engine would fetch: %s", async (_, scene) => {
  const { error, requests } = await build(scene);
  expect(error).toMatchObject({ rule: "build.remote" });
  expect(requests).toEqual([]);
});

test("reports the reason when a quota ends a build, and creates no image", async () => {
  const quota = new Refusal("quota.build-time", "the build time is used up");
  const { error, taken, output } = await build({ quota, lines: [{ stream: "Step 1/1 : FROM scratch\n" }, BUILT] });
  expect(error).toBe(quota);
  expect(taken).toEqual([]);
  expect(JSON.stringify(output)).not.toContain("Successfully");
});

describe("the engine's output", () => {
  test("appears in the tenant's steps, in which the output of RUN forges neither an image nor a step", async () => {
    const { output, taken } = await build({
      dockerfile: "FROM scratch\nRUN a\n",
      lines: [
        { stream: "Step 1/4 : FROM scratch\n" },
        { stream: "Step 2/4 : LABEL docker-over-ssh.guard.tenant=a\n" },
        { stream: " ---> Running in 0123456789ab\n" },
        { stream: "Step 3/4 : RUN a\n" },
        { stream: "Step 4/7 : printed\n" },
        { stream: `{"aux":{"ID":"${idOf("9")}"}}\n` },
        { stream: "Successfully tagged guard.internal/b/docker.io/library/x:1\n" },
        BUILT,
      ],
    });
    expect(taken).toEqual([idOf("1")]);
    expect(output.map(({ stream }) => stream).filter(Boolean)).toEqual([
      "Step 1/2 : FROM scratch",
      "Step 2/2 : RUN a",
      "Step 4/7 : printed\n",
      `{"aux":{"ID":"${idOf("9")}"}}\n`,
      "Successfully built 111111111111\n",
      "Successfully tagged app:latest\n",
    ]);
  });

  test("contains a failure as a line; its end without an image is an error", async () => {
    const failed = await build({
      lines: [{ error: "pull of guard.internal/b/docker.io/library/x:1", errorDetail: {} }],
    });
    expect(failed).toMatchObject({ rule: "build.failed", taken: [], error: undefined });
    expect(failed.output.at(-1)).toMatchObject({ error: "pull of (an image of another tenant)" });
    expect((await build({ lines: [] })).error).toMatchObject({ rule: "build.failed", statusCode: 502 });
  });

  test("contains no name of another tenant in an error", async () => {
    const { error } = await build({ lines: new EngineAnswer(500, "guard.internal/b/docker.io/library/x:1 exists") });
    expect(error).toMatchObject({
      rule: "build.failed",
      statusCode: 500,
      message: "(an image of another tenant) exists",
    });
  });
});

describe("images of steps", () => {
  const short = (digit: string): object => ({ stream: ` ---> ${digit.repeat(12)}\n` });

  test("of a failed build are removed, but not other images that RUN has printed", async () => {
    const { requests } = await build({
      lines: [...["2", "3", "4", "5", "6"].map(short), { error: "no" }],
      listed: [
        { Id: idOf("2"), Labels: LABEL },
        { Id: idOf("3"), Labels: { "docker-over-ssh.guard.tenant": "b" } },
        { Id: idOf("4") },
        { Id: idOf("5"), Labels: LABEL },
        { Id: idOf("6"), Labels: LABEL, RepoTags: ["host:1"] },
      ],
      own: [idOf("5")],
    });
    expect(requests.filter((line) => line.startsWith("DELETE"))).toEqual([`DELETE /images/${idOf("2")} noprune=1`]);
  });

  const failing: Scene = {
    lines: [...["2", "3"].map(short), { error: "no" }],
    listed: [
      { Id: idOf("3"), ParentId: idOf("2"), Labels: LABEL },
      { Id: idOf("2"), Labels: LABEL },
    ],
  };
  const removed = (requests: readonly string[]): string[] => requests.filter((line) => line.startsWith("DELETE"));

  test("of a failed build are kept for the next one, as with docker", async () => {
    const { taken, steps, requests } = await build(failing);
    expect([taken, steps]).toEqual([[idOf("3")], [idOf("2")]]);
    expect(removed(requests)).toEqual([]);
  });

  test("of a failed build are removed, the last one first, if the tenant may have no more images", async () => {
    const { steps, requests } = await build({ ...failing, hasRoom: false });
    expect(steps).toEqual([]);
    expect(removed(requests)).toEqual([3, 2].map((digit) => `DELETE /images/${idOf(String(digit))} noprune=1`));
  });

  test("of a failed build stay unchanged if another image was built from them", async () => {
    const child = { Id: idOf("7"), ParentId: idOf("3"), Labels: LABEL };
    const listed = [child, ...(failing.listed ?? [])];
    const { taken, requests } = await build({ ...failing, listed, own: [idOf("7")] });
    expect([taken, removed(requests)]).toEqual([[], []]);
  });

  test("count as the tenant's down to the first one without its label, unless that is on top of a base of the build", async () => {
    const { steps } = await build({
      listed: [
        { Id: idOf("1"), ParentId: idOf("2"), Labels: LABEL },
        { Id: idOf("2"), ParentId: idOf("3"), Labels: LABEL },
        { Id: idOf("3"), ParentId: idOf("4") },
        { Id: idOf("4"), RepoTags: ["host:1"], Labels: LABEL },
      ],
    });
    expect(steps).toEqual([idOf("2")]);
  });
});
