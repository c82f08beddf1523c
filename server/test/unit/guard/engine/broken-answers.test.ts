import { text } from "node:stream/consumers";
import { expect, test } from "vitest";
import { EngineApi } from "../../../../src/guard/engine/engine-api.ts";
import { answer, fakeEngine } from "../../../../../test/unit/engine/fake-engine.ts";

const { signal } = new AbortController();

test("treats an answer that the engine cuts off like an unavailable engine", async () => {
  await using engine = await fakeEngine({
    "GET /version": (_, response) => answer(response, 200, { ApiVersion: "1.51" }),
    "GET /events": (_, response) => {
      response.write('{"Type":"image"}\n');
      setImmediate(() => response.destroy());
    },
  });
  await using api = await EngineApi.prepare(`unix://${engine.socketPath}`, {});
  const request = { method: "GET", path: "/events", signal } as const;
  const unreachable = { rule: "engine.unreachable", statusCode: 502 };
  await expect(text((await api.request(request)).body)).rejects.toMatchObject(unreachable);
  await expect(api.json(request)).rejects.toMatchObject(unreachable);
  // An answer without a listener ends nothing else.
  (await api.request(request)).body.resume();
  const stop = new AbortController();
  const { body } = await api.request({ ...request, signal: stop.signal });
  stop.abort(new Error("the caller has gone"));
  await expect(text(body)).rejects.toThrow("the caller has gone");
});

test("closes the connection of an answer that nobody reads to its end", async () => {
  let close = (): void => {};
  const closed = new Promise<boolean>((resolve) => (close = () => resolve(true)));
  await using engine = await fakeEngine({
    "GET /version": (_, response) => answer(response, 200, { ApiVersion: "1.51" }),
    "GET /events": (_, response) => {
      response.once("close", close).flushHeaders();
    },
  });
  await using api = await EngineApi.prepare(`unix://${engine.socketPath}`, {});
  (await api.request({ method: "GET", path: "/events", signal })).body.destroy();
  expect(await closed).toBe(true);
});
