import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { writeTar } from "../../../../src/image/tar/write-tar.ts";
import { file, folder } from "../archive/files.ts";
import { bytesOf } from "./make-tar.ts";

describe("a tar", () => {
  test("is written no faster than its reader reads", async () => {
    const path = await file(Buffer.alloc(5_000_000));
    const stream = writeTar([{ path: "large", file: path, size: 5_000_000 }]);
    await new Promise((resolve) => stream.once("readable", resolve));
    for (let turn = 0; turn < 100; turn += 1) await new Promise((resolve) => setImmediate(resolve));
    expect(stream.readableLength).toBeLessThan(300_000);
    expect(await bytesOf(stream)).toHaveLength(stream.size);
  });

  test("closes its files when the reader stops", async () => {
    const path = await file(Buffer.alloc(5_000_000));
    const stream = writeTar([{ path: "large", file: path, size: 5_000_000 }]);
    for await (const _ of stream) break;
    expect(stream.destroyed).toBe(true);
  });

  test("may contain a file larger than 8 GB", async () => {
    const size = 9 * 1024 ** 3;
    const stream = writeTar([{ path: "large", file: join(folder, "nowhere"), size }]);
    expect(stream.size).toBe(512 + size + 1024);
    stream.destroy();
  });
});
