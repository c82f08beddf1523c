import { execFile } from "node:child_process";
import { readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";
import { archiveOf } from "../../../src/engine/api/file-archive.ts";
import { endOfLog } from "../../../src/engine/api/log-frames.ts";
import { temporaryFolder } from "./fake-engine.ts";

describe("files for a container", () => {
  test("the system's tar extracts them", async () => {
    await using folder = await temporaryFolder();
    const long = ["x".repeat(60), "y".repeat(60)].join("/"); // longer than the name field of a tar header
    const big = "ü".repeat(5000);
    await writeFile(
      join(folder.path, "a.tar"),
      await archiveOf({
        "/auth/htpasswd": "user:hash\n",
        "/empty": "",
        "/etc/docker/registry/config.yml": big,
        [`/${long}`]: "far",
      }),
    );
    await promisify(execFile)("tar", ["-xf", "a.tar"], { cwd: folder.path });
    expect(await readFile(join(folder.path, "auth/htpasswd"), "utf8")).toBe("user:hash\n");
    expect(await readFile(join(folder.path, "empty"), "utf8")).toBe("");
    expect(await readFile(join(folder.path, "etc/docker/registry/config.yml"), "utf8")).toBe(big);
    expect(await readFile(join(folder.path, long), "utf8")).toBe("far");
    expect((await stat(join(folder.path, "auth/htpasswd"))).mode & 0o777).toBe(0o444);
  });

  test.each(["relative", "/"])("are rejected at %s", async (path) => {
    await expect(archiveOf({ [path]: "" })).rejects.toThrow(TypeError);
  });
});

describe("the output of a container", () => {
  const frame = (stream: number, text: string) => {
    const header = Buffer.alloc(8);
    header.writeUInt8(stream, 0);
    header.writeUInt32BE(Buffer.byteLength(text), 4);
    return Buffer.concat([header, Buffer.from(text)]);
  };
  const whole = Buffer.concat([frame(1, "starting\n"), frame(2, ""), frame(2, "cannot bind\n"), frame(1, "bye\n")]);

  test.each([1, 3, 8, 1000])("has stdout and stderr in order, in chunks of %i bytes", async (size) => {
    async function* chunks(): AsyncGenerator<Buffer> {
      for (let at = 0; at < whole.length; at += size) yield whole.subarray(at, at + size);
    }
    expect(await endOfLog(chunks(), 100)).toBe("starting\ncannot bind\nbye\n");
    expect(await endOfLog(chunks(), 9)).toBe("bind\nbye\n");
  });
});
