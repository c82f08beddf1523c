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
  for (const one of closing.splice(0).toReversed()) await one[Symbol.asyncDispose]();
});

interface Run {
  registry?: StandInOptions;
  script?: PushScript;
  /** Of the engine's */
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

/** A registry that answers some requests in another way. */
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
  ["is none", answering((_, url) => url === "/v2/", 500), "push.registry"],
  ["takes no upload", answering(isStart, 403), "push.denied"],
  ["does not say where to send a layer", answering(isStart, 202), "push.registry"],
  ["says that a layer goes to what is no address", answering(isStart, 202, { location: "http://[" }), "push.registry"],
  ["takes no layer", answering((method) => method === "PATCH", 403), "push.denied"],
  ["takes no manifest", answering((_, url) => url.includes("/manifests/"), 403), "push.denied"],
])("a registry that %s ends the push", async (_, registry, rule) => {
  expect((await ruleOf({ registry })).rule).toBe(rule);
});

test("an engine that begins uploads without an end is stopped", async () => {
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

test("a registry that leads in a circle is not followed for ever", async () => {
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

test("an engine that does not take the temporary name fails the push", async () => {
  const changes = ({ json }: StandInEngine): Partial<StandInEngine> => ({
    json: async (request) => {
      if (request.path.endsWith("/tag")) throw new EngineAnswer(500, "no space");
      return await json(request);
    },
  });
  expect(await ruleOf({ changes })).toMatchObject({ rule: "push.failed", error: "no space" });
});

test("an engine that goes in the middle fails the push, though it has told no error", async () => {
  const changes = ({ request }: StandInEngine): Partial<StandInEngine> => ({
    request: async (asked) => ({ ...(await request(asked)), isWhole: () => false }),
  });
  expect((await ruleOf({ changes })).rule).toBe("engine.unreachable");
});

test.each([
  ["x/y/z/w", "1.51"],
  ["linux/arm64", "1.45"],
])("the platform %s is refused with the API %s", async (platform, apiVersion) => {
  const changes = ({ version }: StandInEngine): Partial<StandInEngine> => ({
    version: async (signal) => ({ ...(await version(signal)), apiVersion }),
  });
  await expect(ruleOf({ changes, platform })).rejects.toMatchObject({ rule: "push.platform" });
});
