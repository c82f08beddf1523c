import type { ServerResponse } from "node:http";
import { afterEach, beforeEach, expect, test } from "vitest";
import { readPushRequest } from "../../../src/commands/push.ts";
import { outputTo } from "../../../src/output/output.ts";
import { WatchedEngine } from "../../../src/watch/watched-engine.ts";
import { answer, fakeEngine, type FakeEngine } from "../engine/fake-engine.ts";

let engine: FakeEngine;
let watched: WatchedEngine;
/** The answer to the request for events, when it has been received. */
let events: Promise<ServerResponse>;
const stop = new AbortController();
const inspect = { Id: "sha256:1", Os: "linux", Architecture: "amd64", RootFS: { Layers: [] } };

beforeEach(async () => {
  let onRequest!: (response: ServerResponse) => void;
  events = new Promise((resolve) => (onRequest = resolve));
  engine = await fakeEngine({
    "GET /events": (_, response) => {
      response.writeHead(200).flushHeaders();
      onRequest(response);
    },
    "GET /images/app:v1/json": (_, response) => answer(response, 200, inspect),
  });
  const request = readPushRequest(
    "app:v1",
    { kind: "in-process", with: "engine" },
    { host: `unix://${engine.socketPath}` },
    {},
  );
  watched = new WatchedEngine(request, { output: outputTo(() => {}), signal: stop.signal, env: {} });
  expect(await watched.idOf(request)).toBe("sha256:1");
});

afterEach(async () => {
  await watched[Symbol.asyncDispose]();
  await engine[Symbol.asyncDispose]();
});

test("requests the events of images, and treats a burst of them as one change", async () => {
  const response = await events;
  const changed = watched.changed(stop.signal);
  for (let count = 0; count < 100; count++) response.write('{"Type":"image","Action":"tag"}\n');
  await changed;
  const { query } = engine.seen.find(({ path }) => path === "/events") ?? expect.fail("no request for events");
  expect(JSON.parse(query.get("filters") ?? "")).toEqual({ type: ["image"] });
  const leave = new AbortController();
  const another = watched.changed(leave.signal);
  leave.abort(new Error("no further change"));
  await expect(another).rejects.toThrow("no further change");
});

test("treats the end of the events as a failure of the engine", async () => {
  (await events).end();
  await expect(watched.changed(watched.signal)).rejects.toMatchObject({ code: "engine-unreachable" });
});
