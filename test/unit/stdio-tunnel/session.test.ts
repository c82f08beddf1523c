/** Messages and requests through a tunnel, over every kind of stream, with either side as initiator. */
import { createHash } from "node:crypto";
import { describe, expect, test } from "vitest";
import { MAX_STREAMS } from "../../../src/stdio-tunnel/constants.ts";
import type { Role } from "../../../src/stdio-tunnel/handshake.ts";
import { openEnd } from "../../fixtures/remote/open-end.ts";
import { play } from "../../fixtures/remote/play.ts";
import { pseudoRandom } from "../../fixtures/remote/pseudo-random.ts";
import { BULK_BYTES } from "../../fixtures/remote/scenarios/bulk.ts";
import { SCENARIOS } from "../../fixtures/remote/scenarios/index.ts";
import { duplexPair, spawnScenario, tcpPair, type Pair } from "./carriers.ts";

/** Runs a scenario with `initiator` as this process's role. Returns the receiver's report. */
type Carrier = (name: string, initiator: Role) => Promise<unknown>;

const CARRIERS: Record<string, Carrier> = {
  "a pair of streams": (name, initiator) => overPair(duplexPair(), name, initiator),
  "a TCP connection": async (name, initiator) => overPair(await tcpPair(), name, initiator),
  "a child process": overChild,
};

function other(role: Role): Role {
  return role === "sender" ? "receiver" : "sender";
}

async function overPair([near, remote]: Pair, name: string, initiator: Role): Promise<unknown> {
  const scenario = scenarioOf(name);
  const reports = await Promise.all([
    openEnd(near, "initiator", initiator).then((tunnel) => play(scenario, initiator, tunnel)),
    openEnd(remote, "spawned", other(initiator)).then((tunnel) => play(scenario, other(initiator), tunnel)),
  ]);
  expect(reports[1]).toEqual(reports[0]);
  return reports[0];
}

async function overChild(name: string, initiator: Role): Promise<unknown> {
  await using remote = spawnScenario(other(initiator), name);
  return await play(scenarioOf(name), initiator, await openEnd(remote.transport, "initiator", initiator));
}

function scenarioOf(name: string): (typeof SCENARIOS)[string] & object {
  const scenario = SCENARIOS[name];
  if (scenario === undefined) throw new Error(`no scenario ${name}`);
  return scenario;
}

async function digest(seed: number): Promise<string> {
  const bytes = (await pseudoRandom(seed, BULK_BYTES).toArray()) as Buffer[];
  return createHash("sha256").update(Buffer.concat(bytes)).digest("hex");
}

const cut = { ended: false, failed: true };

describe.each(Object.entries(CARRIERS))("over %s", (_carrier, run) => {
  describe.each<Role>(["sender", "receiver"])("the %s is the initiator", (initiator) => {
    test("opens the maximum number of streams", async () => {
      expect(await run("many", initiator)).toBe(MAX_STREAMS - 1);
    });

    test("transfers large data in both directions, byte for byte", async () => {
      const expected = await Promise.all([digest(1), digest(2)]);
      expect(await run("bulk", initiator)).toEqual({ down: expected, up: expected });
    });

    test("lets a side that has ended its half read on", async () => {
      expect(await run("halfClose", initiator)).toEqual({
        youFirst: "heard this",
        meFirst: "all I have",
        received: "said after your end",
      });
    });

    test("distinguishes broken streams from complete streams", async () => {
      expect(await run("resets", initiator)).toMatchObject({
        complete: { bytes: 100_000, ended: true, failed: false },
        "sender, with-an-error": cut,
        "sender, with-an-error, after the receiver's end": cut,
        "receiver, with-an-error": cut,
        "sender, without-an-error": cut,
        "sender, without-an-error, after the receiver's end": cut,
        "receiver, without-an-error": cut,
      });
    });

    test("resets a stream to an unknown service, and continues others", async () => {
      expect(await run("unknownService", initiator)).toEqual({
        unknown: { bytes: 0, ...cut },
        words: "the remote side has no service nobody",
        known: "at your service",
      });
    });

    test("stores early messages, ignores unknown messages, and preserves the order", async () => {
      expect(await run("messages", initiator)).toEqual({ counted: [1, 2, 3], words: "ä\nö", early: 2 });
    });
  });
});
