import { parseReference } from "docker-over-ssh/builds";
import { expect, test } from "vitest";
import type { Caller } from "../../../../src/guard/caller.ts";
import { openPusher } from "../../../../src/guard/push/pusher.ts";
import { standInEngine, type PushScript } from "../../../fixtures/guard/pushing-engine.ts";
import { IMAGE, usePushBed } from "../../../fixtures/guard/push-bed.ts";

const { closing, push, registryWith } = usePushBed();

test("removes the temporary name when the client disconnects", async () => {
  const registry = await registryWith();
  const client = new AbortController();
  const script: PushScript = async function* () {
    client.abort(new Error("the client has disconnected"));
    yield await new Promise<object>(() => {});
  };
  const engine = standInEngine(script);
  const pusher = openPusher({
    engine,
    limits: { countPushed: () => {} },
    env: {},
    owner: "/data",
    certificates: "/nonexistent",
  });
  closing.push(pusher);
  const caller = { tenant: { id: "a", policy: { pushes: [`${registry.host}/*`] } }, signal: client.signal, note: {} };
  const pushed = pusher.push(caller as unknown as Caller, IMAGE, parseReference(`${registry.host}/team/app:v1`), {
    onLine: () => {},
  });
  await expect(pushed).rejects.toThrow("the client has disconnected");
  expect([...engine.names]).toEqual([]);
});

test("removes only the names that a crash has left", async () => {
  const registry = await registryWith();
  const left: string[] = [];
  const script: PushScript = async function* (_, at, tag) {
    left.push(
      `127.0.0.1:7${at.replace("/v2", "")}:${tag}`,
      `127.0.0.1:7${at.replace("/v2", "")}@sha256:${"2".repeat(64)}`,
    );
    yield { status: "done" };
  };
  await push({ host: registry.host, script });
  const engine = standInEngine();
  const others = ["app:v1", "127.0.0.1:5000/docker-over-ssh-guard/app:v1"];
  for (const name of [...left, ...others]) engine.names.add(name);
  const limits = { countPushed: () => {} };
  const signal = new AbortController().signal;
  await openPusher({ engine, limits, env: {}, owner: "/other" }).removeLeftovers(signal);
  expect([...engine.names]).toEqual([...left, ...others]);
  await openPusher({ engine, limits, env: {}, owner: "/data" }).removeLeftovers(signal);
  expect([...engine.names]).toEqual(others);
});
