import { expect, test } from "vitest";
import { exitOf } from "../../../../src/engine/api/container-exit.ts";
import { openApi } from "../../../../src/engine/api/docker-api.ts";
import { answer, fakeEngine, type FakeEngine, type Route } from "../fake-engine.ts";

const WAIT = "POST /containers/c1/wait";
const INSPECT = "GET /containers/c1/json";
const breaksOff: Route = (_request, response) => response.destroy();
const says =
  (body: object, status = 200): Route =>
  (_request, response) =>
    answer(response, status, body);
const running = says({ State: { Running: true, ExitCode: 0 } });
/** The answers in order. The last one repeats. */
const inTurn =
  (...routes: Route[]): Route =>
  (request, response) =>
    (routes.length > 1 ? routes.shift() : routes[0])?.(request, response);

async function exitAt(fake: FakeEngine): Promise<{ status: number }> {
  await using api = await openApi(fake.endpoint);
  return await exitOf(api, "c1", new AbortController().signal, 1);
}

test("a broken wait request does not end a container that still runs", async () => {
  const wait = inTurn(breaksOff, breaksOff, says({ StatusCode: 3 }));
  await using fake = await fakeEngine({ [WAIT]: wait, [INSPECT]: running });
  expect(await exitAt(fake)).toEqual({ status: 3 });
  expect(fake.calls()).toEqual([WAIT, INSPECT, WAIT, INSPECT, WAIT]);
});

test("returns the status of a container that has stopped in the meantime", async () => {
  const stopped = says({ State: { Running: false, ExitCode: 137 } });
  await using fake = await fakeEngine({ [WAIT]: breaksOff, [INSPECT]: stopped });
  expect(await exitAt(fake)).toEqual({ status: 137 });
});

test("the status of a removed container is unknown", async () => {
  await using fake = await fakeEngine({ [WAIT]: breaksOff });
  expect(await exitAt(fake)).toEqual({ status: -1 });
  expect(fake.calls()).toEqual([WAIT, INSPECT]);
});

test("an engine that answers in between still runs", async () => {
  const often = Array<Route>(8).fill(breaksOff);
  const inspect = inTurn(...often, running, ...often, says({ State: { Running: false, ExitCode: 1 } }));
  await using fake = await fakeEngine({ [WAIT]: breaksOff, [INSPECT]: inspect });
  expect(await exitAt(fake)).toEqual({ status: 1 });
});

test("an engine that fails many times in a row counts as stopped", async () => {
  await using fake = await fakeEngine({ [WAIT]: breaksOff, [INSPECT]: breaksOff });
  expect(await exitAt(fake)).toEqual({ status: -1 });
  expect(fake.calls().filter((call) => call === INSPECT)).toHaveLength(10);
});
