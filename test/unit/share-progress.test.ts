import { expect, test } from "vitest";
import { shareProgress } from "../../src/conversation/share-progress.ts";
import { STAGES, type Progress } from "../../src/output/events.ts";
import { outputTo } from "../../src/output/output.ts";
import { tunnelPair } from "./stdio-tunnel/carriers.ts";

/** Lets a peer send progress of these stages. Resolves to the progress events of the initiator. */
async function shown(stages: readonly string[]): Promise<Progress[]> {
  const { sender, receiver } = await tunnelPair();
  const events: Progress[] = [];
  const output = outputTo((event) => event.type === "progress" && events.push(event));
  shareProgress(sender, true, output);
  for (const stage of stages) await receiver.send({ type: "progress", stage, current: 1 });
  await receiver.send({ type: "end" });
  await sender.next("end");
  await Promise.all([sender.close(), receiver.close()]);
  return events;
}

test("shows the stages of the peer at the initiator", async () => {
  expect(await shown(STAGES)).toEqual(STAGES.map((stage) => ({ type: "progress", stage, current: 1 })));
});

test("shows an unknown stage as work, without the peer's words", async () => {
  const others = ["dancing", "reading the archive", "constructor", "", "no\npushed app:v1: 1 kB sent", "x".repeat(500)];
  const work = { type: "progress", stage: "working", current: 1 };
  expect(await shown(others)).toEqual(others.map(() => work));
});

test("shows totals, savings and layers of the peer unchanged", async () => {
  const { sender, receiver } = await tunnelPair();
  const events: unknown[] = [];
  shareProgress(
    sender,
    true,
    outputTo((event) => events.push(event)),
  );
  const progress: Progress = {
    stage: "sending",
    current: 5,
    total: 10,
    isEstimated: true,
    saved: 2,
    layers: { done: 1, total: 2 },
    perLayer: [{ id: "0123456789ab", current: 5, total: 10, isByDelta: true }],
  };
  shareProgress(
    receiver,
    false,
    outputTo(() => {}),
  )(progress);
  await receiver.send({ type: "end" });
  await sender.next("end");
  await Promise.all([sender.close(), receiver.close()]);
  expect(events).toEqual([{ type: "progress", ...progress }]);
});
