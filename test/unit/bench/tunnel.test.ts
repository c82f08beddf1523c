import { expect, test } from "vitest";
import { tunnel } from "../../../bench/tunnel/measure.ts";

test("measures the tunnel of dist/, with several streams and one that nobody reads", async () => {
  const { seconds, sender, receiver } = await tunnel(1e6, 2, 1);
  for (const value of [seconds, sender.cpu, sender.peak, receiver.cpu, receiver.peak]) expect(value).toBeGreaterThan(0);
});
