import { spawn } from "node:child_process";
import { once } from "node:events";
import { expect, test } from "vitest";
import { isLeftover, isRunId, runState, newRunId, runIdsInName, temporaryName } from "../../../src/run/run-id.ts";
import { parseReference } from "../../../src/image/reference.ts";

const DAY = 24 * 3600 * 1000;

test("returns whether the process of a run ID still exists", () => {
  expect(runState(newRunId())).toBe("alive");
  expect(runState(newRunId(4242), (pid) => pid !== 4242)).toBe("dead");
});

test.skipIf(process.platform !== "linux")(
  "treats a killed run as dead, even before its parent has read its exit status",
  async () => {
    // `sleep` replaces the shell and does not wait for its child. The child waits: a background job's stdin would be /dev/null.
    const parent = spawn("sh", ["-c", "exec 3<&0; sh -c 'read _ <&3' & echo $!; exec sleep 60 </dev/null"], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    try {
      const [line] = (await once(parent.stdout, "data")) as [Buffer];
      const runId = newRunId(Number(line.toString()));
      expect(runState(runId)).toBe("alive");
      process.kill(Number(line.toString()), "SIGKILL");
      await expect.poll(() => runState(runId)).toBe("dead");
    } finally {
      parent.kill("SIGKILL");
    }
  },
);

test.skipIf(process.platform !== "linux")("does not treat a later process with the same process ID as the run", () => {
  const runId = newRunId();
  // The same run ID with the number of the parent process.
  const before = newRunId(process.ppid).slice(-8, -4);
  expect(runState(runId)).toBe("alive");
  expect(runState(runId.replace(/.{4}(?=.{4}$)/, before))).toBe("dead");
});

test("ignores the clock for runs on this host", () => {
  for (const at of [0, Date.now() - 400 * DAY, Date.now() + 400 * DAY]) {
    expect(isLeftover([newRunId(process.pid, at)])).toBe(false);
    expect(isLeftover([newRunId(999_999_999, at)])).toBe(true);
  }
});

test("treats a run on another host as dead after a month, if its clock was set", () => {
  const foreign = (at: number): string => newRunId(1, at).replace(/^.{8}/, "00000000");
  expect(isLeftover([foreign(Date.now() - 29 * DAY)])).toBe(false);
  expect(isLeftover([foreign(Date.now() - 31 * DAY)])).toBe(true);
  expect(isLeftover([foreign(0)])).toBe(false);
  expect(isLeftover([foreign(Date.now() + 400 * DAY)])).toBe(false);
});

test("gives different IDs to runs that one process starts at the same moment", () => {
  const now = Date.now();
  expect(new Set(Array.from({ length: 20 }, () => newRunId(process.pid, now))).size).toBe(20);
});

test("reports a run on another host as elsewhere", () => {
  const foreign = newRunId().replace(/^.{8}/, "00000000");
  expect(isRunId(foreign)).toBe(true);
  expect(runState(foreign)).toBe("elsewhere");
});

test("puts the run IDs of both sides into a temporary name, as a valid tag", () => {
  const runIds = [newRunId(), newRunId(4_194_304)];
  const name = temporaryName("127.0.0.1:5000", "team/app", runIds);
  expect(runIdsInName(name)).toEqual(runIds);
  expect(name.split(":").at(-1)).toMatch(/^\w[\w.-]{0,127}$/);
});

test.each([
  ["127.0.0.1:1", "a".repeat(245)],
  ["registry.example.com:5000", `${"team/".repeat(40)}${"b".repeat(40)}`],
  ["127.0.0.1:65535", `${"a__".repeat(80)}b`],
  [`${"h".repeat(210)}:5000`, "app/with/a/path"],
])("shortens a long name to the engines' limit, consistently and uniquely: %s %s", (host, path) => {
  const runIds = [newRunId(), newRunId()];
  const name = temporaryName(host, path, runIds);
  const { domain, path: shortened } = parseReference(name);
  expect(domain).toBe(host);
  expect(`127.0.0.1:65535/${shortened}`.length).toBeLessThanOrEqual(255); // the name in the other side's engine
  expect(runIdsInName(name)).toEqual(runIds);
  expect(temporaryName(host, path, runIds)).toBe(name);
  expect(temporaryName(host, `${path}c`, runIds)).not.toBe(name);
});

test.each([
  "app:v1",
  "127.0.0.1:5000/docker-over-ssh/app:v1",
  "docker-over-ssh/app:latest",
  `localhost/app:${newRunId()}`,
])("does not treat %s as a temporary name", (name) => {
  expect(runIdsInName(name)).toEqual([]);
});
