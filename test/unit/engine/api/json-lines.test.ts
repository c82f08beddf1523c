import { describe, expect, test } from "vitest";
import { EngineError } from "../../../../src/engine/engine-error.ts";
import { jsonLines } from "../../../../src/engine/api/json-lines.ts";
import { followProgress } from "../../../../src/engine/api/follow-progress.ts";
import { Failure } from "../../../../src/output/errors.ts";
import { rejection } from "../fake-engine.ts";

async function* chunks(...parts: (string | Uint8Array)[]): AsyncGenerator<Uint8Array> {
  for (const part of parts) yield typeof part === "string" ? Buffer.from(part) : part;
}

async function all<T>(values: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = [];
  for await (const value of values) list.push(value);
  return list;
}

describe("JSON lines", () => {
  test.each([
    ["one chunk", ['{"a":1}\n{"a":2}\n']],
    ["carriage returns and empty lines", ['{"a":1}\r\n\r\n', '\n{"a":2}\r\n']],
    ["cut anywhere", ['{"a"', ":1}", "\n{", '"a":2}', "\n"]],
    ["no newline at the end", ['{"a":1}\n{"a":2}']],
  ])("%s", async (_name, parts) => {
    expect(await all(jsonLines(chunks(...parts)))).toEqual([{ a: 1 }, { a: 2 }]);
  });

  test("are decoded if a character is split over two chunks", async () => {
    const line = Buffer.from('{"a":"é"}\n');
    expect(await all(jsonLines(chunks(line.subarray(0, 7), line.subarray(7))))).toEqual([{ a: "é" }]);
  });

  test("cause an error if a line is not JSON", async () => {
    expect(await rejection(all(jsonLines(chunks("<html>\n"))))).toMatchObject({
      name: "EngineError",
      message: "the engine sent a line that is not JSON: <html>",
    });
  });

  test("cause an error if a line is truncated", async () => {
    expect(await rejection(all(jsonLines(chunks('{"a":1}\n{"a":'))))).toBeInstanceOf(EngineError);
  });

  test("do not fill the memory if a line is endless", async () => {
    let produced = 0;
    async function* endless(): AsyncGenerator<Uint8Array> {
      for (;;) {
        produced += 64;
        yield Buffer.alloc(64, "x");
      }
    }
    expect(await rejection(all(jsonLines(endless(), 1000)))).toMatchObject({
      message: expect.stringContaining("more than 1000 characters"),
    });
    expect(produced).toBeLessThan(1200);
  });
});

describe("progress", () => {
  test("is reported at once, with numbers if available", async () => {
    const told: unknown[] = [];
    const stream = chunks(
      '{"status":"Pulling from app","id":"v2"}\n',
      '{"status":"Downloading","progressDetail":{"current":1,"total":2},"progress":"[=> ]","id":"0123456789ab"}\n',
      '{"status":"Extracting","progressDetail":{"current":1,"total":-1},"id":"0123456789ab"}\n',
      '{"status":"Pushed","progressDetail":{},"id":""}\n',
      '{"progressDetail":{},"aux":{"Tag":"v2","Digest":"sha256:0","Size":1}}\n',
    );
    await followProgress(stream, (progress) => told.push(progress));
    expect(told).toEqual([
      { status: "Pulling from app", id: "v2" },
      { status: "Downloading", id: "0123456789ab", current: 1, total: 2 },
      { status: "Extracting", id: "0123456789ab", current: 1 },
      { status: "Pushed" },
    ]);
  });

  const digest = `sha256:${"d".repeat(64)}`;
  test.each([
    ["a field, from a graph driver", `{"progressDetail":{},"aux":{"Tag":"v2","Digest":"${digest}","Size":1}}\n`],
    ["words, from a containerd store", `{"status":"v2: digest: ${digest} size: 529"}\n`],
  ])("the digest of a push is in %s", async (_, line) => {
    expect(await followProgress(chunks('{"status":"Pushed","id":"0123456789ab"}\n', line))).toBe(digest);
    expect(await followProgress(chunks('{"status":"Pushed","id":"0123456789ab"}\n'))).toBeUndefined();
  });

  test.each([
    ["error and errorDetail", '{"errorDetail":{"message":"denied"},"error":"denied (old words)"}'],
    ["error alone", '{"error":"denied"}'],
    ["errorDetail alone", '{"errorDetail":{"code":1,"message":"denied"}}'],
  ])("%s is a failure", async (_name, line) => {
    const error = await rejection(followProgress(chunks('{"status":"Preparing"}\n', `${line}\r\n`)));
    expect(error).toBeInstanceOf(EngineError);
    expect(error).toMatchObject({ message: "denied", status: undefined });
  });

  test("a full disk has its own failure code", async () => {
    const error = await rejection(
      followProgress(chunks('{"error":"write /var/lib/docker/tmp/x: no space left on device"}\n')),
    );
    expect(error).toBeInstanceOf(Failure);
    expect(error).toMatchObject({
      code: "no-space",
      message: expect.stringContaining("/var/lib/docker/tmp/x"),
      hint: expect.stringContaining("prune"),
    });
  });
});
