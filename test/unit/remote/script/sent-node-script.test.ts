import { createHash } from "node:crypto";
import { chmod, mkdir, readdir, stat, symlink, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { execa } from "execa";
import { describe, expect, test } from "vitest";
import { furtherBlocks, scriptWords } from "../../../../src/remote/script/remote-script.ts";
import type { RemoteProgram } from "../../../../src/output/remote-programs.ts";
import { temporaryFolder } from "../../engine/fake-engine.ts";

/** A Node that answers when it is tried. Otherwise it prints its folder, its arguments after the bootstrap, and its stdin. */
const NODE = nodeThat(`[ "$2" = 0 ] && exit; shift 4; echo "[node]" "$@"; pwd; cat`);

function nodeThat(code: string): Buffer {
  // Longer than the buffer of a pipe, and random, so that compression does not shorten it.
  const noise = createHash("shake256", { outputLength: 300_000 }).update(code).digest("base64");
  return Buffer.from(`#!/bin/sh\n${code}\nexit\n${noise}\n`);
}

const sha256 = (content: Buffer): string => createHash("sha256").update(content).digest("hex");

/** Returns the answers of this side: the Node that it has, and then the Node. `rest` is for the program that runs. */
function answers(
  node: Buffer,
  { packed = gzipSync(node), rest = "rest\n" }: { packed?: Buffer; rest?: string } = {},
): Buffer {
  const offer = `node ${sha256(node)} ${packed.length} ${node.length}\n`;
  return Buffer.concat([Buffer.from(`${offer}send\n`), packed, Buffer.from(rest)]);
}

const TOOLS = "cat chmod df find gzip head ls mkdir mktemp mv rm sha256sum tail touch".split(" ");
const which = async (name: string): Promise<string> => (await execa({ reject: false })`which ${name}`).stdout;
const pathOf = new Map(await Promise.all(TOOLS.map(async (name) => [name, await which(name)] as const)));
const names = ["dash", "bash", "busybox", "zsh", "ksh", "mksh"];
const shells = await Promise.all(names.map(which));
const missing = names.filter((_, index) => shells[index] === "");

test.skipIf(missing.length > 0)(`each shell is here; not installed, and not tested: ${missing.join(", ")}`, () => {
  expect(missing).toEqual([]);
});

/** A machine with only these tools, on which `sh` is the given shell. */
async function machine(
  sh: string,
  { without = [], code = {} }: { without?: string[]; code?: Record<string, string> } = {},
) {
  const folder = await temporaryFolder();
  const [bin, home, run] = ["bin", "home", "run"].map((name) => join(folder.path, name)) as [string, string, string];
  for (const made of [bin, home, run]) await mkdir(made);
  await symlink(sh, join(bin, "sh"));
  const programs = {
    getconf: `[ $1 = LONG_BIT ] && echo 64 || echo glibc 2.36`,
    uname: `[ $1 = -s ] && echo Linux || echo x86_64`,
    ...code,
  };
  for (const [name, path] of pathOf)
    if (!without.includes(name) && !Object.hasOwn(programs, name)) await symlink(path, join(bin, name));
  for (const [name, text] of Object.entries(programs)) {
    await writeFile(join(bin, name), `#!/bin/sh\n${text}\n`, { mode: 0o755 });
  }
  const cache = join(home, ".cache/docker-over-ssh");
  return {
    cache,
    run,
    home,
    async start(input: Buffer | string, { programs = ["node-sent"] as RemoteProgram[], env = {} } = {}) {
      const [, ...words] = scriptWords({
        sudo: false,
        programs,
        bundle: { digest: "d19e57", size: 1234, bootstrap: "b00" },
        image: { given: "node:24" },
        isImageRequested: false,
        paths: [],
        folders: [],
        words: ["pull", "app:v2"],
      });
      const { stdout, exitCode } = await execa(join(bin, "sh"), words, {
        env: { PATH: bin, HOME: home, DOCKER_HOST: "tcp://engine:2375", XDG_RUNTIME_DIR: run, ...env },
        extendEnv: false,
        reject: false,
        input: Buffer.concat([Buffer.from(furtherBlocks("node-sent")), Buffer.from(input)]),
      });
      const text = stdout.replaceAll(folder.path, "~").replaceAll(/\b[0-9a-f]{64}\b/g, "DIGEST");
      const lines = text.split("\n").map((line) => line.replace(/^#docker-over-ssh#remote# /, "# "));
      return { lines: lines.filter((line) => line !== "# more node-sent"), exitCode };
    },
    /** Returns all files that are left in the home folder and in the folder for temporary files. */
    async files() {
      const names = await Promise.all([home, run].map(async (top) => await readdir(top, { recursive: true })));
      return names.flat().filter((name) => !/^\.cache(?:\/docker-over-ssh)?$/.test(name));
    },
    [Symbol.asyncDispose]: async () => await folder[Symbol.asyncDispose](),
  };
}

const ASKED = ["# system Linux x86_64 64 glibc 2.36", "# send-node"];
const RUN = ["# try node-sent ./node-DIGEST", "[node] d19e57:1234 node-sent pull app:v2"];

describe.each(shells.filter((path) => path !== ""))("the script in %s, for a Node that is sent,", (sh) => {
  test("receives it, caches it and runs it; the next run requests nothing", async () => {
    await using there = await machine(sh);
    // The head of busybox reads more than the requested bytes. Nothing may follow before the next line of the script is answered.
    const rest = sh.endsWith("busybox") ? "" : "rest\n";
    const first = await there.start(answers(NODE, { rest }));
    const where = "~/home/.cache/docker-over-ssh";
    expect(first).toEqual({ lines: [...ASKED, ...RUN, where, ...(rest === "" ? [] : ["rest"])], exitCode: 0 });
    expect((await stat(there.cache)).mode & 0o777).toBe(0o700);
    expect(await there.files()).toEqual([`.cache/docker-over-ssh/node-${sha256(NODE)}`]);
    const second = await there.start(`node ${sha256(NODE)} 1 1\nrest\n`);
    expect(second.lines).toEqual([ASKED[0], ...RUN, where, "rest"]);
  });

  test("removes the received Node if it cannot be stored, or has the wrong digest", async () => {
    await using there = await machine(sh);
    const { lines } = await there.start(answers(NODE, { rest: "" }), { env: { HOME: "/proc/none" } });
    expect(lines.at(-1)).toMatch(/^~\/run\/docker-over-ssh-node\.\d+\.\w{6}$/);
    await there.start(answers(NODE, { packed: gzipSync("something else"), rest: "" }));
    expect(await there.files()).toEqual([]);
  });
});

describe("the script, for a Node that is sent,", () => {
  const sh = "/bin/sh";

  test("skips the program with the reason from this side, before and after it requests the bytes", async () => {
    await using there = await machine(sh);
    expect((await there.start("no it has musl\n")).lines[1]).toBe("# pass node-sent it has musl");
    const { lines } = await there.start(`node ${sha256(NODE)} 9 9\nno it was declined\n`);
    expect(lines.slice(1, 3)).toEqual(["# send-node", "# pass node-sent it was declined"]);
    expect(await there.files()).toEqual([]);
  });

  test.each([
    ["with another content", answers(NODE, { packed: gzipSync("something else".repeat(100_000)) })],
    ["that is not packed", answers(NODE, { packed: NODE })],
    ["of which a part is missing", answers(NODE, { packed: gzipSync(NODE).subarray(0, -9000) })],
  ])("skips a Node %s: the next program gets the following input, and nothing is left", async (_, input) => {
    await using there = await machine(sh, { code: { docker: `[ $1 = version ] || cat` } });
    const { lines } = await there.start(input, { programs: ["node-sent", "engine"] });
    expect(lines.slice(1)).toEqual([
      "# send-node",
      expect.stringMatching(/^# pass node-sent the Node that arrived is not the one that was sent:/),
      "# engine docker ",
      "rest",
    ]);
    expect(await there.files()).toEqual([]);
  });

  test("skips the program if the link ends in the middle, and leaves nothing behind", async () => {
    await using there = await machine(sh);
    const { lines } = await there.start(answers(NODE).subarray(0, 100_000));
    expect(lines[2]).toMatch(/^# pass node-sent the Node that arrived/);
    expect(await there.files()).toEqual([]);
  });

  test("skips a Node that does not start, and reports its output", async () => {
    await using there = await machine(sh);
    const { lines } = await there.start(answers(nodeThat("echo no such library >&2; exit 1")));
    expect(lines[2]).toBe("# pass node-sent it does not start: no such library");
    expect(await there.files()).toEqual([]);
  });

  test("skips the program if the disk becomes full during the transfer", async () => {
    const full = `head -c 9 >/dev/null; echo "gzip: No space left on device" >&2; exit 1`;
    await using there = await machine(sh, { code: { gzip: full, docker: `[ $1 = version ] || cat` } });
    const { lines } = await there.start(answers(NODE), { programs: ["node-sent", "engine"] });
    expect(lines[2]).toMatch(/No space left on device$/);
    expect(lines.slice(3)).toEqual(["# engine docker ", "rest"]);
    expect(await there.files()).toEqual([]);
  });

  test("does not run a cached Node that has changed", async () => {
    await using there = await machine(sh);
    await there.start(answers(NODE));
    await writeFile(join(there.cache, `node-${sha256(NODE)}`), "#!/bin/sh\necho changed\n");
    expect((await there.start(answers(NODE))).lines[1]).toBe("# send-node");
  });

  test.each([
    ["sha256sum", { sha256sum: `exec /usr/bin/sha256sum` }],
    ["shasum", { shasum: `[ "$*" = "-a 256" ] && exec /usr/bin/sha256sum` }],
    [
      "openssl",
      { openssl: `[ "$*" = "dgst -sha256 -r" ] || exit 1; /usr/bin/sha256sum | { read x y; echo "$x *stdin"; }` },
    ],
  ])("checks the digest with %s", async (_, code) => {
    await using there = await machine(sh, { without: ["sha256sum"], code });
    expect((await there.start(answers(NODE))).lines.at(-1)).toBe("rest");
  });

  test.each([
    ["a program for digests", "no gzip, or no program for SHA-256", { without: ["sha256sum"] }, {}],
    ["gzip", "no gzip, or no program for SHA-256", { without: ["gzip"] }, {}],
    ["an engine", "no engine at /nowhere", {}, { DOCKER_HOST: "unix:///nowhere" }],
    ["the right to run it by sudo", "sudo wants a password for it", {}, { DOCKER_OVER_SSH_SUDO: "sudo -n" }],
  ])("skips the program without %s", async (_, reason, options, env) => {
    await using there = await machine(sh, options);
    expect((await there.start(answers(NODE), { env })).lines[0]).toBe(`# pass node-sent ${reason}`);
  });

  describe("uses a separate folder for one run", () => {
    const inRun = /^~\/run\/docker-over-ssh-node\.\d+\.\w{6}$/;

    test("without a writable home folder", async () => {
      await using there = await machine(sh);
      const { lines } = await there.start(answers(NODE), { env: { HOME: "/proc/none" } });
      expect(lines).toEqual([expect.any(String), "# send-node", ...RUN, expect.stringMatching(inRun), "rest"]);
      expect(await there.files()).toEqual([]);
    });

    test.each([
      ["is a link", async (cache: string) => await symlink("../../run", cache)],
      ["can be written to by others", async (cache: string) => await mkdir(cache).then(() => chmod(cache, 0o777))],
    ])("if the cache folder %s", async (_, make) => {
      await using there = await machine(sh);
      await mkdir(join(there.cache, ".."));
      await make(there.cache);
      expect((await there.start(answers(NODE))).lines.at(-2)).toMatch(inRun);
      expect(await there.files()).toEqual([]);
    });

    test.each([
      ["programs cannot be run in the home folder", { chmod: `case $PWD in */home/*) ;; *) /bin/chmod "$@" ;; esac` }],
      ["there is no room in the home folder", { df: `case $PWD in */home/*) echo fs 9 9 0 1% / ;; esac` }],
    ])("if %s", async (_, code) => {
      await using there = await machine(sh, { code });
      expect((await there.start(answers(NODE))).lines.at(-2)).toMatch(inRun);
      expect(await there.files()).toEqual([]);
    });

    test("and removes it if the Node is unsuitable", async () => {
      await using there = await machine(sh);
      const node = nodeThat(`[ "$2" = 0 ] || exit 96`);
      await there.start(answers(node), { env: { HOME: "/proc/none" } });
      expect(await there.files()).toEqual([]);
    });
  });

  test("skips the program if no folder is usable", async () => {
    await using there = await machine(sh, { code: { df: "echo fs 9 9 0 1% /" } });
    expect((await there.start(answers(NODE))).lines[1]).toBe(
      "# pass node-sent no folder has room for it and lets programs run",
    );
    expect(await there.files()).toEqual([]);
  });

  test("removes the leftovers of killed runs, and leaves the files of running ones", async () => {
    await using there = await machine(sh);
    await mkdir(there.cache, { recursive: true, mode: 0o700 });
    const gone = 2 ** 22 + 1; // Linux has no greater process IDs than 2 ** 22
    const elsewhere = gone + 1;
    const longAgo = new Date(Date.now() - 2 * 3600_000);
    for (const pid of [gone, elsewhere, process.pid]) {
      const part = join(there.cache, `node-abc.${pid}.part`);
      const folder = join(there.run, `docker-over-ssh-node.${pid}.AbCdEf`);
      await writeFile(part, "");
      await mkdir(folder);
      // Another machine or container writes to the same folder, and its processes are not visible on this machine.
      if (pid !== elsewhere) for (const path of [part, folder]) await utimes(path, longAgo, longAgo);
    }
    await there.start(answers(NODE));
    await there.start(answers(NODE), { env: { HOME: "/proc/none" } });
    expect((await there.files()).toSorted()).toEqual(
      [
        `.cache/docker-over-ssh/node-abc.${process.pid}.part`,
        `.cache/docker-over-ssh/node-abc.${elsewhere}.part`,
        `.cache/docker-over-ssh/node-${sha256(NODE)}`,
        `docker-over-ssh-node.${process.pid}.AbCdEf`,
        `docker-over-ssh-node.${elsewhere}.AbCdEf`,
      ].toSorted(),
    );
  });
});
