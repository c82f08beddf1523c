import { parseReference } from "docker-over-ssh/builds";
import { afterEach, expect, test } from "vitest";
import type { ApiObject } from "../../../../src/guard/backend.ts";
import type { Caller } from "../../../../src/guard/caller.ts";
import { EngineAnswer } from "../../../../src/guard/engine/engine-api.ts";
import { openPusher } from "../../../../src/guard/push/pusher.ts";
import {
  pushOneLayer,
  standInEngine,
  type PushScript,
  type StandInEngine,
} from "../../../fixtures/guard/pushing-engine.ts";
import { startStandInRegistry, type StandInOptions } from "../../../fixtures/guard/stand-in-registry.ts";

const closing: AsyncDisposable[] = [];
afterEach(async () => {
  for (const resource of closing.splice(0).toReversed()) await resource[Symbol.asyncDispose]();
});

interface Run {
  registry?: StandInOptions;
  script?: PushScript;
  /** Properties that replace the engine's */
  changes?: (engine: StandInEngine) => Partial<StandInEngine>;
  platform?: string;
}

/** Pushes an image. Returns the rule that has ended it. */
async function ruleOf({ registry = {}, script = pushOneLayer, changes = () => ({}), platform }: Run) {
  const { host, ...opened } = await startStandInRegistry(registry);
  const engine = standInEngine(script);
  const pusher = openPusher({
    engine: { ...engine, ...changes(engine) },
    limits: { countPushed: () => {} },
    env: {},
    owner: "/data",
    certificates: "/nonexistent",
  });
  closing.push(opened, pusher);
  const tenant = { id: "a", policy: { pushes: [`${host}/*`] } };
  const caller = { tenant, signal: new AbortController().signal, note: {} } as unknown as Caller;
  const lines: ApiObject[] = [];
  await pusher.push(
    caller,
    { id: `sha256:${"1".repeat(64)}`, names: [], created: 0, size: 0 },
    parseReference(`${host}/team/app:v1`),
    { credentials: undefined, platform, onLine: (line) => lines.push(line) },
  );
  expect([...engine.names].filter((name) => !name.includes("@"))).toEqual([]);
  return { rule: caller.note.rule, error: lines.at(-1)?.["error"], requests: opened.requests.length };
}

/** Returns options of a registry that answers matching requests with a status and headers. */
function answering(
  matches: (method: string, url: string) => boolean,
  status: number,
  headers: Record<string, string> = {},
): StandInOptions {
  return {
    answer({ method = "", url = "" }, response) {
      if (!matches(method, url)) return false;
      response.writeHead(status, headers).end();
      return true;
    },
  };
}

const isStart = (method: string): boolean => method === "POST";

test.each<[string, StandInOptions, string]>([
  ["answers /v2/ with an error", answering((_, url) => url === "/v2/", 500), "push.registry"],
  ["accepts no upload", answering(isStart, 403), "push.denied"],
  ["sends no address for a layer", answering(isStart, 202), "push.registry"],
  ["sends an invalid address for a layer", answering(isStart, 202, { location: "http://[" }), "push.registry"],
  ["accepts no layer", answering((method) => method === "PATCH", 403), "push.denied"],
  ["accepts no manifest", answering((_, url) => url.includes("/manifests/"), 403), "push.denied"],
])("ends the push if the registry %s", async (_, registry, rule) => {
  expect((await ruleOf({ registry })).rule).toBe(rule);
});

test("stops an engine that begins endless uploads", async () => {
  const script: PushScript = async function* (send, at) {
    let status = 202;
    for (let begun = 0; begun < 600 && status === 202; begun++)
      ({ status } = await send("POST", `${at}/blobs/uploads/`));
    yield { error: `the last is ${status}` };
  };
  const { rule, requests } = await ruleOf({ script });
  expect(rule).toBe("push.registry");
  expect(requests).toBeLessThan(520);
});

test("does not follow a registry's redirects in a circle forever", async () => {
  let redirects = 0;
  const { requests } = await ruleOf({
    registry: {
      answer({ method, url = "" }, response) {
        if (method !== "HEAD" || ++redirects > 100) return false;
        response.writeHead(307, { location: url }).end();
        return true;
      },
    },
  });
  expect(requests).toBeLessThan(20);
});

test("fails if the engine does not accept the temporary name", async () => {
  const changes = ({ json }: StandInEngine): Partial<StandInEngine> => ({
    json: async (request) => {
      if (request.path.endsWith("/tag")) throw new EngineAnswer(500, "no space");
      return await json(request);
    },
  });
  expect(await ruleOf({ changes })).toMatchObject({ rule: "push.failed", error: "no space" });
});

test("fails if the engine disconnects during the push without an error", async () => {
  const changes = ({ request }: StandInEngine): Partial<StandInEngine> => ({
    request: async (sent) => ({ ...(await request(sent)), isWhole: () => false }),
  });
  expect((await ruleOf({ changes })).rule).toBe("engine.unreachable");
});

test.each([
  ["x/y/z/w", "1.51"],
  ["linux/arm64", "1.45"],
])("refuses the platform %s with the API %s", async (platform, apiVersion) => {
  const changes = ({ version }: StandInEngine): Partial<StandInEngine> => ({
    version: async (signal) => ({ ...(await version(signal)), apiVersion }),
  });
  await expect(ruleOf({ changes, platform })).rejects.toMatchObject({ rule: "push.platform" });
});
