import { setImmediate } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { spawnRemote, type RemoteProcess } from "../../../src/stdio-tunnel/remote-process.ts";
import { readUntil } from "../../../src/streams/read-until.ts";

/** Reads to the end of a line. */
async function lineOf({ stdout }: RemoteProcess): Promise<string> {
  const find = (text: string) => {
    const end = text.indexOf("\n") + 1;
    return end === 0 ? undefined : { start: end, end };
  };
  return (await readUntil(stdout, find, { max: 1000, signal: new AbortController().signal })).before;
}

/** Waits until the program has ended, and Node has handled its end. */
async function ended(remote: RemoteProcess): Promise<unknown> {
  const exit = await remote.exit();
  for (let turn = 0; turn < 10; turn++) await setImmediate();
  return exit;
}

describe("the output of a remote command that has ended", () => {
  test("is there for a reader that comes later", async () => {
    await using remote = spawnRemote(["sh", "-c", "echo one; exit 3"], () => {});
    expect(await ended(remote)).toMatchObject({ status: 3 });
    expect(await lineOf(remote)).toBe("one\n");
  });

  test.each(["echo one; echo two; exit 3", "echo one; read -r _; echo two; exit 3"])(
    "is there for the next reader, after the first has read its part: %s",
    async (script) => {
      await using remote = spawnRemote(["sh", "-c", script], () => {});
      expect(await lineOf(remote)).toBe("one\n");
      remote.stdin.write("\n");
      expect(await ended(remote)).toMatchObject({ status: 3 });
      expect(await lineOf(remote)).toBe("two\n");
      expect(await lineOf(remote)).toBe("");
    },
  );
});
