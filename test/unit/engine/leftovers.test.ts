import { expect, test } from "vitest";
import type { Engine } from "../../../src/engine/engine.ts";
import { removeLeftovers } from "../../../src/engine/leftovers.ts";
import type { Leftover } from "../../../src/output/details.ts";
import { newRunId, RUN_LABEL, temporaryName } from "../../../src/run/run-id.ts";

const DAY = 24 * 3_600_000;
const now = Date.now();
const ago = (days: number): number => now - days * DAY;
const elsewhere = (runId: string): string => runId.replace(/^.{8}/, "00000000");
const runIds = {
  mine: newRunId(process.pid, ago(60)),
  dead: newRunId(2 ** 31 - 1, ago(0)), // no system has a process with this ID
  theirs: elsewhere(newRunId(1, ago(29))),
  forgotten: elsewhere(newRunId(1, ago(31))),
};
const nameOf = (...names: (keyof typeof runIds)[]): string =>
  temporaryName(
    "127.0.0.1:5000",
    "library/app",
    names.map((name) => runIds[name]),
  );

async function leftovers(containers: string[], references: string[]): Promise<Leftover[]> {
  return await removeLeftovers(
    {
      findContainers: async () => containers.map((runId) => ({ id: runId, labels: { [RUN_LABEL]: runId } })),
      listReferences: async () => references,
      removeContainer: async () => {},
      removeReference: async () => {},
    } as unknown as Engine,
    now,
  );
}

test("removes containers of dead runs, and those of other hosts after a month", async () => {
  const removed = await leftovers([...Object.values(runIds), "somebody's", ""], []);
  expect(removed).toEqual([runIds.dead, runIds.forgotten].map((id) => ({ kind: "container", id })));
});

test("removes temporary names unless one of their runs is alive", async () => {
  const gone = [nameOf("dead"), nameOf("dead", "theirs"), nameOf("mine", "dead"), nameOf("forgotten")];
  const kept = [nameOf("mine"), nameOf("theirs"), nameOf("mine", "forgotten"), nameOf("mine", "theirs"), "app:v1"];
  expect(await leftovers([], [...kept, ...gone])).toEqual(gone.map((reference) => ({ kind: "image", reference })));
});
