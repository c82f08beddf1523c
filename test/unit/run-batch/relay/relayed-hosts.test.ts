/** Events of other hosts that a hostile first host has forged. */
import { expect, test } from "vitest";
import { pushJob } from "../../../../src/commands/push.ts";
import { Failure } from "../../../../src/output/errors.ts";
import type { TransferEvent, TransferResult } from "../../../../src/output/events.ts";
import { outputTo } from "../../../../src/output/output.ts";
import { RelayedHosts } from "../../../../src/run-batch/relay/relayed-hosts.ts";

const RESULT: TransferResult = {
  role: "sender",
  image: "app:v2",
  id: "sha256:12",
  layersSent: 1,
  layersPresent: 2,
  bytesPresent: 0,
  bytesRebuilt: 0,
  bytesSent: 10,
  bytesReceived: 1,
  ms: 5,
};

/** Reads these events of a relay. The hosts b and c get app:v1 under the name app:v2. */
const relayed = (...events: object[]) => relayedBy({}, ["app:v1"], ...events);

function relayedBy(options: { as?: undefined; run?: string }, images: [string, ...string[]], ...events: object[]) {
  const { batch } = pushJob(
    { images, command: ["ssh://a", "ssh://b", "ssh://c"] },
    { as: ["app:v2"], relay: true, ...options },
    {},
  );
  const [first, ...others] = batch.remotes;
  const told: TransferEvent[] = [];
  const hosts = new RelayedHosts(
    first as never,
    others as never,
    batch.relay as never,
    outputTo((event) => told.push(event)),
  );
  for (const event of events) hosts.read(JSON.stringify(event));
  return { hosts, told };
}

const on = (host: string, event: object, image: string | undefined = "app:v2") => ({
  ...event,
  transfer: { image, host },
});

test("a result contains the image name verbatim, and its name on the host", () => {
  const { hosts, told } = relayed(on("ssh://b", { type: "result", ...RESULT }));
  const result = { ...RESULT, image: "app:v1", name: "app:v2" };
  expect(told).toEqual([{ type: "result", ...result, transfer: { image: "app:v1", host: "ssh://b" } }]);
  const [b, c] = hosts.outcomes();
  expect(b).toEqual({ results: [result] });
  expect(c).toMatchObject({ failure: { code: "transfer-failed" } });
});

test("drops events for hosts and images that are not in the order", () => {
  const line = { type: "remote", line: "x" };
  const { told } = relayed(line, on("ssh://a", line), on("ssh://d", line), on("ssh://b", line, "other:v1"), {
    transfer: 1,
  });
  expect(told).toEqual([]);
});

test("drops events that would occupy the terminal, or look like a line of this program", () => {
  const { told } = relayed(
    on("ssh://b", { type: "detail", code: "command-started", command: "x" }),
    on("ssh://b", {
      type: "note",
      code: "checked",
      finding: { side: "here", check: "engine", state: "ok", text: "x" },
    }),
  );
  expect(told).toEqual([]);
});

test("uses the first of several outcomes of a transfer", () => {
  const error = { type: "error", code: "no-space", exitStatus: 0, side: "here", message: "full" };
  const { hosts, told } = relayed(
    on("ssh://b", error),
    on("ssh://b", { type: "result", ...RESULT }),
    on("ssh://b", { ...error, message: "once more" }),
    on("ssh://c", { type: "result", ...RESULT }),
    on("ssh://c", { type: "result", ...RESULT }),
  );
  expect(told.map(({ type }) => type)).toEqual(["error", "result"]);
  expect(told[0]).toMatchObject({ exitStatus: 11, side: "remote" });
  expect(hosts.outcomes()).toMatchObject([{ failure: { code: "no-space" } }, { results: [{}] }]);
});

test("a failed login on the first host gets an additional hint", () => {
  const { told } = relayed(
    on("ssh://b", {
      type: "error",
      code: "engine-unreachable",
      exitStatus: 4,
      side: "here",
      message: "no",
      hint: "Try it.",
    }),
  );
  expect(told[0]).toMatchObject({
    hint: expect.stringMatching(/^Try it\. ssh:\/\/a logs in to ssh:\/\/b .*ssh -A/) as string,
  });
});

test("a relay that has not succeeded has failed for the hosts without an outcome; a relay that rejects the order has failed with its message", () => {
  expect(relayed(on("ssh://b", { type: "result", ...RESULT })).hosts.outcomes(new Error("gone"))).toMatchObject([
    { results: [{}] },
    { failure: { code: "internal" } },
  ]);
  const { hosts } = relayed({ type: "error", code: "usage", exitStatus: 2, side: "here", message: "not an order" });
  expect(hosts.outcomes()).toMatchObject([{ failure: { message: "not an order" } }, { failure: { code: "usage" } }]);
});

test("with --run, a result is not an outcome before the relay has succeeded", () => {
  const result = on("ssh://b", { type: "result", ...RESULT });
  const withRun = (...events: object[]) => relayedBy({ run: "true" }, ["app:v1"], ...events).hosts;
  expect(withRun(result).outcomes(new Error("gone"))[0]).toMatchObject({ failure: { code: "internal" } });
  expect(withRun(result).outcomes()[0]).toMatchObject({ results: [{}] });
});

test("reports the end of the relay for hosts on which only some images have an outcome", () => {
  const { hosts, told } = relayedBy({ as: undefined }, ["app:v1", "app:v2"]);
  hosts.notArrived(["app:v1"], undefined);
  hosts.outcomes(new Failure("link-lost", "the relay has ended"));
  expect(told.slice(2)).toMatchObject([
    { code: "link-lost", transfer: { host: "ssh://b" } },
    { code: "link-lost", transfer: { host: "ssh://c" } },
  ]);
});
