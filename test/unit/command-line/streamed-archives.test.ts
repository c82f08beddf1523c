import { execFile } from "node:child_process";
import { once } from "node:events";
import { createReadStream, createWriteStream, existsSync } from "node:fs";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { promisify } from "node:util";
import * as zlib from "node:zlib";
import { execa } from "execa";
import { describe, expect, test } from "vitest";
import { makeImage, savePodman } from "../image/make-image.ts";
import { folder, program, settings, start } from "./cli.ts";
import { layoutOf, look, whole, writeTar } from "./images.ts";

/** Archives without random access: from a pipe, or compressed as a whole. */

const at = (name: string): string => join(folder, name);
const image = await makeImage([3000, 70_000]);
await writeTar(at("docker.tar"), await savePodman(image));
await writeTar(at("oci.tar"), layoutOf([{ image }]));
const [docker, oci] = await Promise.all([readFile(at("docker.tar")), readFile(at("oci.tar"))]);
const { zstdCompressSync } = zlib as { zstdCompressSync?: (bytes: Buffer) => Buffer };
let count = 0;

/** Returns the words of a push to a new layout, and the layout's path. */
function pushing(source: string): { words: string[]; to: string } {
  const to = `to-${(count += 1)}`;
  return { words: ["push", source, ...program, "pull", "--to", `oci:${to}`, "app:v1"], to: at(to) };
}

/** Returns the spool folders that remain in the cache folder. */
async function left(): Promise<string[]> {
  const names = await readdir(at("cache/docker-over-ssh")).catch(() => []);
  return names.filter((name) => name.startsWith("spool-"));
}

describe("recognises a file that is compressed as a whole by its first bytes:", () => {
  test.each([
    ["docker-archive", "gzip", zlib.gzipSync(docker)],
    [
      "oci-archive",
      "gzip, in two members",
      Buffer.concat([oci.subarray(0, 4000), oci.subarray(4000)].map((part) => zlib.gzipSync(part))),
    ],
  ])("%s, %s", async (kind, what, bytes) => {
    const path = `packed-${what.length}`;
    await writeFile(at(path), bytes);
    const { words, to } = pushing(`${kind}:${path}`);
    expect(await start(...words)).toMatchObject({ exitCode: 0 });
    expect(await look("oci", to, "app:v1")).toEqual(whole(image));
    expect(await left()).toEqual([]);
  });

  const hasZstd = zstdCompressSync !== undefined;
  test.skipIf(!hasZstd)(`zstd${hasZstd ? "" : ` (Node ${process.versions.node} has none)`}`, async () => {
    await writeFile(at("docker.tar.zst"), zstdCompressSync?.(docker) ?? "");
    const { words, to } = pushing("docker-archive:docker.tar.zst");
    expect(await start(...words)).toMatchObject({ exitCode: 0 });
    expect(await look("oci", to, "app:v1")).toEqual(whole(image));
  });

  test.skipIf(hasZstd)(
    `zstd in a Node without zstd${hasZstd ? ` (Node ${process.versions.node} has it)` : ""}`,
    async () => {
      await writeFile(at("app.tar.zst"), Buffer.concat([Buffer.from("28b52ffd", "hex"), docker]));
      const { exitCode, stderr } = await start(...pushing("docker-archive:app.tar.zst").words);
      expect(stderr).toContain("zstd -dc app.tar.zst | docker-over-ssh push docker-archive:- …");
      expect(exitCode).toBe(3);
    },
  );
});

describe("on stdin", () => {
  /** Pushes an archive from stdin to a new layout. */
  const pushed = async (source: string, stdin: { input: Buffer } | { stdin: Readable }) => {
    const { words, to } = pushing(source);
    const { exitCode, stderr } = await execa(process.execPath, [...program.slice(1), ...words], {
      ...settings,
      ...stdin,
    });
    return { exitCode, stderr, ...(exitCode === 0 && { there: await look("oci", to, "app:v1") }) };
  };

  test.each([
    ["docker-archive:-", "docker", docker],
    ["docker-archive:-", "OCI", oci],
    ["oci-archive:-", "docker", docker],
    ["docker-archive:/dev/stdin", "gzipped docker", zlib.gzipSync(docker)],
    ["docker-archive:-:localhost/app:v1", "docker, with the name of an image", docker],
  ])("%s: an archive of the kind %s", async (source, _, input) => {
    expect(await pushed(source, { input })).toMatchObject({ exitCode: 0, there: whole(image) });
    expect(await left()).toEqual([]);
  });

  test("a redirected file is read without a copy", async () => {
    // The program's stdin is the file itself, not a pipe with its content.
    const file = createReadStream(at("docker.tar"));
    await once(file, "open");
    expect(await pushed("docker-archive:-", { stdin: file })).toMatchObject({ exitCode: 0, there: whole(image) });
  });

  test.each([
    ["that is truncated", docker.subarray(0, docker.length / 2), /stdin is not .*: the archive ends in the middle of/],
    ["without a tar", Buffer.alloc(100_000, "log\n"), /stdin is not .*: it is not a tar archive/],
    ["of no bytes", Buffer.alloc(0), /stdin is not .*: it is not a tar archive/],
  ])("an archive %s causes an error before the remote command starts", async (what, input, message) => {
    const mark = `started-${what.length}`;
    const line = [...program.slice(1), "push", "docker-archive:-", "sh", "-c", `touch ${mark}`];
    const { exitCode, stderr } = await execa(process.execPath, line, { ...settings, input });
    expect(stderr).toMatch(message);
    expect(exitCode).toBe(3);
    expect(existsSync(at(mark))).toBe(false);
    expect(await left()).toEqual([]);
  });

  test.skipIf(process.platform === "win32")(
    "a cache folder without space for the archive causes an error",
    async () => {
      // This is like a full disk, but needs no root: no file of this process can exceed 10 kB.
      const line = ["-c", 'ulimit -f 20; exec "$@"', "sh", ...program, ...pushing("docker-archive:-").words];
      const { exitCode, stderr } = await execa("sh", line, { ...settings, input: docker });
      expect(stderr).toContain("there is no space left");
      expect(exitCode).toBe(11);
      expect(await left()).toEqual([]);
    },
  );

  test("is rejected if stdin is the tunnel", async () => {
    for (const source of ["docker-archive:-", "oci-archive:/dev/stdin:app:v1"]) {
      const { exitCode, stderr } = await start("push", source);
      expect(stderr).toContain(`${source} is stdin, but without a command stdin is the tunnel`);
      expect(exitCode).toBe(2);
    }
  });
});

describe("from a pipe", () => {
  const makePipe = async (name: string): Promise<string> => {
    await promisify(execFile)("mkfifo", [at(name)]);
    return at(name);
  };
  const reads = /reading .* into the cache folder/;

  test("that is named: the push waits for the writer", async () => {
    const pipe = await makePipe("pipe");
    const { words, to } = pushing("docker-archive:pipe");
    const run = start("push", "--verbose", ...words.slice(1));
    await printed(run, reads);
    await pipeline(Readable.from([docker]), createWriteStream(pipe));
    expect(await run).toMatchObject({ exitCode: 0 });
    expect(await look("oci", to, "app:v1")).toEqual(whole(image));
    expect(await left()).toEqual([]);
  });

  test("without a writer: a signal ends the push", async () => {
    await makePipe("silent");
    const run = start("push", "--verbose", ...pushing("docker-archive:silent").words.slice(1));
    await printed(run, reads);
    run.kill("SIGTERM");
    expect(await run).toMatchObject({ exitCode: 143 });
    expect(await left()).toEqual([]);
  });

  const bash = existsSync("/bin/bash");
  test.skipIf(!bash)(`<(…) of a shell${bash ? "" : " (there is no /bin/bash here)"}`, async () => {
    const { words, to } = pushing("docker-archive:");
    const script = 'node=$1; shift; exec "$node" "$1" push "$2"<(cat docker.tar) "${@:3}"';
    const line = ["-c", script, "bash", program[0] ?? "", program[1] ?? "", words[1] ?? "", ...words.slice(2)];
    expect(await execa("/bin/bash", line, { ...settings, stdin: "ignore" })).toMatchObject({ exitCode: 0 });
    expect(await look("oci", to, "app:v1")).toEqual(whole(image));
  });
});

/** Waits until the program has printed a matching text. */
async function printed(run: ReturnType<typeof start>, text: RegExp): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    let all = "";
    run.stderr.on("data", (chunk: Buffer) => {
      all += String(chunk);
      if (text.test(all)) resolve();
    });
    run.stderr.on("end", () => reject(new Error(`it ended, and had printed: ${all}`)));
  });
}
