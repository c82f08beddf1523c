import { execFile } from "node:child_process";
import { once } from "node:events";
import { lstat, mkdir, readdir, readFile, readlink, symlink, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { promisify } from "node:util";
import { execa } from "execa";
import { describe, expect, test } from "vitest";
import { replaceFile } from "../../../src/image/oci/replace-file.ts";
import { checkLayout, checkSaved, readTar } from "../../matrix/saved-image.ts";
import { makeImage } from "../image/make-image.ts";
import { folder, program, run, start } from "./cli.ts";
import { layoutOf, look, whole, writeTree } from "./images.ts";

const at = (name: string): string => join(folder, name);
const image = await makeImage([3000, 300_000]); // more than a pipe holds
await writeTree(at("layout"), layoutOf([{ image, ref: "v1" }]));

const pull = (to: string): string[] => ["pull", "--to", to, "app:v1", ...program, "push", "oci:layout"];
/** Pulls with stdout and stderr as pipes, and returns both. */
const streamed = async (to: string) => {
  const own = start(...pull(to));
  own.stdout.setEncoding("latin1");
  const { exitCode, stdout, stderr } = await own;
  return { exitCode, stdout: Buffer.from(stdout, "latin1"), stderr };
};
/** Runs a line of bash in which "$@" is the pull command. */
const shell = async (line: string, to: string) =>
  await execa("bash", ["-c", line, "bash", ...program, ...pull(to)], {
    cwd: folder,
    env: { XDG_CACHE_HOME: at("cache"), DOCKER_HOST: "unix:///nowhere.sock", NO_COLOR: "1" },
    reject: false,
  });
const makePipe = async (name: string): Promise<void> => void (await promisify(execFile)("mkfifo", [at(name)]));

describe("an archive is streamed", () => {
  test.each(["-", "/dev/stdout"])("to stdout, as %s; messages go to stderr", async (path) => {
    const saved = await streamed(`docker-archive:${path}`);
    expect(saved).toMatchObject({ exitCode: 0, stderr: expect.stringContaining("pulled app:v1: ") as string });
    expect(checkSaved(await readTar(saved.stdout))).toEqual(whole(image));
    const layout = await streamed(`oci-archive:${path}:v7`);
    expect(checkLayout(await readTar(layout.stdout), "v7")).toEqual(whole(image));
  });

  test.each(["-", "/dev/stdout"])("to stdout, as %s, redirected to a file", async (path) => {
    expect(await shell('"$@" > redirected.tar', `docker-archive:${path}`)).toMatchObject({ exitCode: 0 });
    expect(await look("docker-archive", at("redirected.tar"))).toEqual(whole(image));
  });

  test.each(["-", "/dev/stdout"])("to stdout, as %s, appended to a file", async (path) => {
    await writeFile(at("appended"), "before");
    expect(await shell('"$@" >> appended', `docker-archive:${path}`)).toMatchObject({ exitCode: 0 });
    const appended = await readFile(at("appended"));
    expect(appended.toString("latin1", 0, 6)).toBe("before");
    expect(checkSaved(await readTar(appended.subarray(6)))).toEqual(whole(image));
  });

  test("to a named pipe, which stays a pipe", async () => {
    await makePipe("pipe");
    const { exitCode } = await shell('cat pipe > piped.tar & "$@" && wait', "docker-archive:pipe");
    expect(exitCode).toBe(0);
    expect(await look("docker-archive", at("piped.tar"))).toEqual(whole(image));
    expect((await lstat(at("pipe"))).isFIFO()).toBe(true);
  });

  test("to a program, with >(…) of the shell", async () => {
    const line = 'exec 9> >(cat > substituted.tar); "$@" && exec 9>&- && wait $!';
    expect((await shell(line, "oci-archive:/dev/fd/9")).exitCode).toBe(0);
    expect(await look("oci-archive", at("substituted.tar"), "app:v1")).toEqual(whole(image));
  });

  test("to a program that stops reading: an error, and the received layers stay in the cache", async () => {
    const { exitCode, stderr } = await shell(
      '"$@" | head -c 100 >/dev/null; exit ${PIPESTATUS[0]}',
      "docker-archive:-",
    );
    expect(stderr).toMatch(/kept .* of received layers[^]*the reader of stdout has closed it/);
    expect(exitCode).toBe(1);
  });

  test("to a pipe that nobody reads: a signal ends it", async () => {
    await makePipe("unread");
    const waiting = start(...pull("docker-archive:unread"));
    for await (const line of waiting.iterable({ from: "stderr" }))
      if (line.includes("waiting for")) waiting.kill("SIGINT");
    expect((await waiting).exitCode).toBe(130);
  });

  test("to a full disk: an error", async () => {
    const { exitCode, stderr } = await shell('"$@" > /dev/full', "docker-archive:-");
    expect(stderr).toContain("there is no space left for stdout");
    expect(exitCode).toBe(11);
  });

  test.each(["-", "/dev/stdout"])("but not to %s of the spawned side, which is the tunnel", async (path) => {
    const far = ["pull", "--to", `docker-archive:${path}`, "app:v1"];
    const { exitCode, stderr } = await run("push", "oci:layout", ...program, ...far);
    expect(stderr).toContain("the stdout of the spawned side is the tunnel");
    expect(exitCode).toBe(2);
  });
});

describe("rejects a target that is not a regular file, and leaves it unchanged", () => {
  test("a socket", async () => {
    const server = createServer().listen(at("socket"));
    await once(server, "listening");
    const { exitCode, stderr } = await run(...pull("docker-archive:socket"));
    expect(stderr).toContain("socket is a socket, not a file");
    expect(exitCode).toBe(2);
    expect((await lstat(at("socket"))).isSocket()).toBe(true);
    server.close();
  });

  test.skipIf(process.getuid?.() !== 0)("a device (only root can create one)", async () => {
    await promisify(execFile)("mknod", [at("device"), "c", "1", "3"]);
    await symlink("device", at("to-device"));
    for (const name of ["device", "to-device"]) {
      const { exitCode, stderr } = await run(...pull(`docker-archive:${name}`));
      expect(stderr).toContain(`${name} is a device, not a file`);
      expect(exitCode).toBe(2);
    }
    expect((await lstat(at("device"))).isCharacterDevice()).toBe(true);
    expect(await readlink(at("to-device"))).toBe("device");
  });

  test("a link that leads back to itself", async () => {
    await symlink("circle", at("circle"));
    const { exitCode, stderr } = await run(...pull("docker-archive:circle"));
    expect(stderr).toContain("circle is a link that leads back to itself");
    expect(exitCode).toBe(2);
  });
});

describe("a link is followed", () => {
  test("to a file, which is replaced in its own folder", async () => {
    await mkdir(at("far/away"), { recursive: true });
    await writeFile(at("far/away/real.tar"), "old");
    await symlink("far/away/real.tar", at("middle.tar"));
    await symlink("middle.tar", at("link.tar"));
    expect((await run(...pull("docker-archive:link.tar"))).exitCode).toBe(0);
    expect(await readlink(at("link.tar"))).toBe("middle.tar");
    expect(await readlink(at("middle.tar"))).toBe("far/away/real.tar");
    expect(await look("docker-archive", at("far/away/real.tar"))).toEqual(whole(image));
    expect(await readdir(at("far/away"))).toEqual(["real.tar"]);
  });

  test("to a file that does not exist yet", async () => {
    await symlink(at("made.tar"), at("dangling.tar"));
    expect((await run(...pull("oci-archive:dangling.tar"))).exitCode).toBe(0);
    expect(await readlink(at("dangling.tar"))).toBe(at("made.tar"));
    expect(await look("oci-archive", at("made.tar"), "app:v1")).toEqual(whole(image));
  });

  test("but not a link in place of the temporary file", async () => {
    await writeFile(at("victim"), "mine");
    await symlink("victim", at("file.some-run.part"));
    await expect(replaceFile(at("file"), Buffer.from("new"), "some-run")).rejects.toMatchObject({ code: "EEXIST" });
    expect(await readFile(at("victim"), "utf8")).toBe("mine");
  });
});

describe("long file names", () => {
  test.each(["docker-archive", "oci-archive", "oci"] as const)("%s: 255 bytes are accepted", async (kind) => {
    const name = `${kind}-${"é".repeat(119)}`.padEnd(255 - 119, "n");
    expect(Buffer.byteLength(name)).toBe(255);
    expect((await run(...pull(`${kind}:${name}`))).exitCode).toBe(0);
    expect(await look(kind, at(name))).toEqual(whole(image));
  });

  test.each(["docker-archive", "oci-archive", "oci"])(
    "%s: a longer name is an error before a layer is sent",
    async (kind) => {
      const { exitCode, stderr } = await run(...pull(`${kind}:${"n".repeat(256)}`));
      expect(stderr).toContain("… is too long");
      expect(stderr).not.toContain("sending");
      expect(exitCode).toBe(2);
    },
  );
});

test("a layout whose blobs folder is a file causes an error before a layer is sent", async () => {
  await writeTree(at("odd"), [{ name: "blobs", content: "x" }]);
  const { exitCode, stderr } = await run(...pull("oci:odd"));
  expect(stderr).toContain("there is no folder odd/blobs");
  expect(exitCode).toBe(2);
});
