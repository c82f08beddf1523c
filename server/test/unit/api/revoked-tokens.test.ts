import { expect, test } from "vitest";
import type { Access, Client, Scope } from "../../../src/access/client.ts";
import { runningJob } from "../../fixtures/new-job.ts";
import { listenOnLoopback, openStream } from "../../fixtures/sse-client.ts";
import { testAccess, testApp, testClient } from "../../fixtures/test-app.ts";

const HEADERS = { accept: "text/event-stream", authorization: "Bearer boss" };
const boss = (...scope: Scope[]): Client => testClient("boss", { scope });

/** Access whose tokens change, like after the token file is read again */
function changingAccess(clients: readonly Client[]): Access & { change: (clients: readonly Client[]) => void } {
  let access = testAccess(clients);
  return {
    needsToken: true,
    client: (authorization) => access.client(authorization),
    change: (others) => (access = testAccess(others)),
  };
}

test.each([
  ["is revoked", [testClient("other")]],
  ["loses a scope", [boss("read")]],
])("ends streams when their token %s", async (_what, then) => {
  const access = changingAccess([boss("read", "admin")]);
  await using server = testApp({ access, streams: { heartbeat: 5 } });
  const { id } = await runningJob(server.store, ["one"]);
  const port = await listenOnLoopback(server.app);
  using events = await openStream(port, "/api/v2/events", HEADERS);
  using log = await openStream(port, `/api/v2/builds/${id}/logs`, HEADERS);
  using text = await openStream(port, `/api/v2/builds/${id}/logs?follow=true`, { authorization: "boss" });
  await log.until(/one/);
  await text.until(/one/);
  access.change(then);
  expect(await events.ended).not.toContain("one");
  expect(await log.ended).not.toContain("event: end");
  await text.ended;
});

test("continues streams while their token is valid", async () => {
  const access = changingAccess([boss("read")]);
  await using server = testApp({ access, streams: { heartbeat: 5 } });
  const port = await listenOnLoopback(server.app);
  using events = await openStream(port, "/api/v2/events", HEADERS);
  access.change([boss("read", "build"), testClient("other")]);
  expect(await events.until(/(?::\n\n){5}/)).not.toContain("event: end");
});
