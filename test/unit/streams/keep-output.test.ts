import { once } from "node:events";
import { PassThrough } from "node:stream";
import { text } from "node:stream/consumers";
import { setImmediate } from "node:timers/promises";
import { expect, test } from "vitest";
import { keepOutput } from "../../../src/streams/keep-output.ts";

test("passes the content on, and ends with the output, also if it closes without an end", async () => {
  const output = new PassThrough();
  const kept = keepOutput(output);
  output.write("one");
  output.write("two");
  await setImmediate();
  output.destroy();
  expect(await text(kept)).toBe("onetwo");
});

test("fails with the output, and without a reader the error ends no process", async () => {
  const output = new PassThrough();
  const kept = keepOutput(output);
  output.destroy(new Error("EIO"));
  await new Promise((resolve) => kept.once("close", resolve));
  expect(kept.errored).toEqual(new Error("EIO"));
});

test("destroying it destroys the output", async () => {
  const output = new PassThrough();
  keepOutput(output).destroy();
  await once(output, "close");
  expect(output.destroyed).toBe(true);
});
