import { existsSync } from "node:fs";
import { mkdir, open, readdir, readFile, symlink, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { execa } from "execa";
import { describe, expect, test } from "vitest";
import { parseReference } from "../../../../src/image/reference.ts";
import { launcherText } from "../../../../src/remote/setup/launcher.ts";
import { uninstallWords } from "../../../../src/remote/setup/uninstall-script.ts";
import { newRunId, temporaryName } from "../../../../src/run/run-id.ts";
import { addProgram, makeFarHome, type FarHome } from "./far-home.ts";

/** Run IDs: of a live run, of a killed run, of a run on another machine, and of a run that another machine started long ago. */
const alive = newRunId();
const dead = newRunId(Number((await execa`sh -c ${"echo $$"}`).stdout));
const elsewhere = `01234567${alive.slice(8)}`;
const old = elsewhere.replace(/-(\d+)-\w+-/, `-$1-${Math.floor(Date.UTC(2025, 0, 1) / 1000).toString(36)}-`);
/** The maximum process ID of Linux is 2 ** 22. */
const gone = 2 ** 22 + 1;

const temporary = (...runIds: string[]) => temporaryName("127.0.0.1:5000", "library/app", runIds);

interface InEngine {
  /** The containers of remote sides. Those that run are in `running`. */
  remote?: string[];
  running?: string[];
  volumes?: string[];
  /** Containers of transfers, with their run IDs. */
  run?: Record<string, string>;
  images?: string[];
  /** Objects that cannot be removed. */
  stuck?: string[];
}

/** Adds a docker to the far side that lists these objects, and records the objects that it removes. */
async function addEngine(
  far: FarHome,
  { remote = [], running = [], volumes = [], run = {}, images = [], stuck = [] }: InEngine,
) {
  const log = join(far.home, "../removed");
  await writeFile(log, "");
  const labels = Object.entries(run).map(([id, runId]) => `*docker-over-ssh.run*" ${id}") echo ${runId} ;;`);
  await addProgram(
    far.bin,
    "docker",
    `case "$*" in
      *--filter" label=docker-over-ssh.remote") [ "$1" = ps ] && echo "${remote.join(" ")}" || echo "${volumes.join(" ")}" ;;
      *--filter" label=docker-over-ssh.run") echo "${Object.keys(run).join(" ")}" ;;
      "image ls"*) echo "${images.join(" ")}" ;;
      "image inspect"*) exit 1 ;;
      *State.Running*) case " ${running.join(" ")} " in *" $4 "*) echo true ;; *) echo false ;; esac ;;
      ${labels.join("\n")}
      rm*|rmi*|volume" rm"*)
        for last in "$@"; do :; done
        case " ${stuck.join(" ")} " in *" $last "*) echo "no permission" >&2; exit 1 ;; esac
        echo "$*" >> ${log} ;;
    esac`,
  );
  return async () => (await readFile(log, "utf8")).split("\n").filter(Boolean);
}

describe("--uninstall", () => {
  test("removes the leftovers of transfers in the home folder, and nothing else", async () => {
    await using far = await makeFarHome();
    await far.setup();
    await mkdir(join(far.home, ".cache/docker-over-ssh/code"), { recursive: true });
    await writeFile(join(far.home, ".cache/docker-over-ssh/bundle-0.cjs"), "");
    await mkdir(join(far.home, ".cache/other"));
    await symlink(join(far.home, ".cache/other"), join(far.home, ".cache/docker-over-ssh/link"));
    await writeFile(join(far.home, ".local/share/other"), "");
    expect((await far.setup({ uninstall: true })).notes).toContain("removed the cache folder ~/.cache/docker-over-ssh");
    expect(await far.files()).toEqual([".cache", ".cache/other", ".local", ".local/share", ".local/share/other"]);
  });

  test("with --sudo, also removes root's cache folder", async () => {
    await using far = await makeFarHome();
    await far.setup();
    const root = join(far.home, "../root");
    await mkdir(join(far.home, ".cache/docker-over-ssh"), { recursive: true });
    await mkdir(join(root, ".cache/docker-over-ssh"), { recursive: true });
    await addProgram(
      far.bin,
      "sudo",
      `while case "$1" in -*) ;; *) false ;; esac; do shift; done; HOME=${root} exec "$@"`,
    );
    expect((await far.setup({ uninstall: true, sudo: true })).notes).toEqual([
      "removed the launcher ~/.local/bin/docker-over-ssh",
      "removed docker-over-ssh itself in ~/.local/share/docker-over-ssh",
      "removed the cache folder ~/.cache/docker-over-ssh",
      `removed the cache folder ${root}/.cache/docker-over-ssh`,
      "no files of docker-over-ssh remain on ssh://prod",
    ]);
    expect(await far.files()).toEqual([]);
  });

  test("leaves a launcher that setup has not written, and links", async () => {
    await using far = await makeFarHome();
    await addProgram(join(far.home, ".local/bin"), "docker-over-ssh", "exit");
    await mkdir(join(far.home, ".cache"));
    await mkdir(join(far.home, "elsewhere"));
    await symlink(join(far.home, "elsewhere"), join(far.home, ".cache/docker-over-ssh"));
    const before = await far.files();
    expect(await far.setup({ uninstall: true })).toEqual({
      notes: [
        "left the launcher ~/.local/bin/docker-over-ssh: setup has not written it",
        "left the cache folder ~/.cache/docker-over-ssh: it is a link, which docker-over-ssh does not use",
      ],
    });
    expect(await far.files()).toEqual(before);
  });

  test("leaves the cache folder to a running transfer, and removes it after a killed transfer", async () => {
    await using far = await makeFarHome();
    const spool = join(far.home, ".cache/docker-over-ssh/spool-");
    await mkdir(`${spool}${alive}-aBcDeF`, { recursive: true });
    expect((await far.setup({ uninstall: true })).notes).toEqual([
      "left the cache folder ~/.cache/docker-over-ssh: a running transfer uses it",
    ]);
    await execa`mv ${spool}${alive}-aBcDeF ${spool}${dead}-aBcDeF`;
    await far.setup({ uninstall: true });
    expect(await far.files()).toEqual([]);
  });

  test("leaves the cache folder to a transfer that another machine with the same home folder may run", async () => {
    await using far = await makeFarHome();
    const spool = join(far.home, ".cache/docker-over-ssh/spool-");
    await mkdir(`${spool}${elsewhere}-aBcDeF`, { recursive: true });
    expect((await far.setup({ uninstall: true })).notes).toEqual([
      "left the cache folder ~/.cache/docker-over-ssh: it may belong to a transfer that runs on another machine",
    ]);
    await execa`mv ${spool}${elsewhere}-aBcDeF ${spool}${old}-aBcDeF`;
    await far.setup({ uninstall: true });
    expect(await far.files()).toEqual([]);
  });

  test.runIf(existsSync("/proc/self/fd"))("leaves the cache folder to a transfer that has only opened it", async () => {
    await using far = await makeFarHome();
    const cache = join(far.home, ".cache/docker-over-ssh");
    await mkdir(cache, { recursive: true });
    // Another folder whose name begins with the same words does not count.
    await mkdir(`${cache}-other`);
    await using _other = await open(`${cache}-other`);
    const opened = await open(cache);
    expect((await far.setup({ uninstall: true })).notes).toEqual([
      "left the cache folder ~/.cache/docker-over-ssh: a running transfer uses it",
    ]);
    await opened.close();
    await far.setup({ uninstall: true });
    expect(await far.files()).toEqual([".cache", ".cache/docker-over-ssh-other"]);
  });

  test("removes the folders that killed runs have created for Node, and leaves those of running ones, and links", async () => {
    await using far = await makeFarHome();
    const run = join(far.home, "../run");
    const folder = (pid: number) => join(run, `docker-over-ssh-node.${pid}.AbCdEf`);
    await mkdir(folder(gone), { recursive: true });
    await writeFile(join(folder(gone), "node-abc"), "");
    await mkdir(folder(process.pid));
    await mkdir(join(run, "docker-over-ssh-node.mine.AbCdEf"));
    await mkdir(join(far.home, "elsewhere"));
    await symlink(join(far.home, "elsewhere"), folder(gone + 1));
    await execa`sed -i s,HOME=,${`XDG_RUNTIME_DIR=${run}`}\ HOME=, ${join(far.home, "../ssh")}`;
    const { notes } = await far.setup({ uninstall: true });
    expect(notes.filter((note) => note.includes(run)).toSorted()).toEqual([
      `left the folder with Node ${folder(process.pid)}: a running transfer uses it`,
      `removed the folder with Node ${folder(gone)}`,
    ]);
    expect((await readdir(run)).toSorted()).toEqual(
      [folder(gone + 1), folder(process.pid), join(run, "docker-over-ssh-node.mine.AbCdEf")]
        .map((path) => basename(path))
        .toSorted(),
    );
    expect(await far.files()).toEqual(["elsewhere"]);
  });

  test("removes the partial launchers of killed setups, and no other files", async () => {
    await using far = await makeFarHome();
    const bin = join(far.home, ".local/bin");
    await mkdir(bin, { recursive: true });
    const text = launcherText({ version: "1", node: "/node", start: "/start" });
    const write = async (name: string, content: string) =>
      await writeFile(join(bin, `docker-over-ssh.${name}`), content);
    await write(`${gone}`, text);
    await write(`${gone + 1}`, "");
    expect((await far.setup({ uninstall: true })).notes.slice(0, 2)).toEqual([
      `removed the launcher ~/.local/bin/docker-over-ssh.${gone}`,
      `removed the launcher ~/.local/bin/docker-over-ssh.${gone + 1}`,
    ]);
    expect(await far.files()).toEqual([]);
    await mkdir(bin, { recursive: true });
    await write(`${process.pid}`, text);
    await write(`${gone}`, "#!/bin/sh\n# mine\n");
    await write("old", text);
    await symlink(join(bin, "docker-over-ssh.old"), join(bin, `docker-over-ssh.${gone + 2}`));
    const before = await far.files();
    expect((await far.setup({ uninstall: true })).notes).toEqual([
      `left the launcher ~/.local/bin/docker-over-ssh.${process.pid}: a running transfer uses it`,
    ]);
    expect(await far.files()).toEqual(before);
  });

  test("removes containers and volumes of remote sides, except for those that run", async () => {
    await using far = await makeFarHome();
    const removed = await addEngine(far, {
      remote: ["c1", "c2"],
      running: ["c2"],
      volumes: ["v1", "v2"],
      stuck: ["v2"],
    });
    expect((await far.setup({ uninstall: true })).notes).toEqual([
      "removed the container c1",
      "left the container c2: a running transfer uses it",
      "removed the volume v1",
      "left the volume v2: a running transfer uses it",
    ]);
    expect(await removed()).toEqual(["rm -f c1", "volume rm v1"]);
  });

  test("removes the leftovers of killed transfers in the engine, and leaves other objects", async () => {
    await using far = await makeFarHome();
    const removed = await addEngine(far, {
      run: { killed: dead, living: alive, other: elsewhere, oldest: old, mine: "something" },
      images: [temporary(dead, elsewhere), temporary(alive), "ghcr.io/docker-over-ssh/app:latest", "app:v1"],
    });
    expect(await far.setup({ uninstall: true })).toEqual({
      notes: [
        "removed the container killed",
        "left the container living: a running transfer uses it",
        "left the container other: it may belong to a transfer that runs on another machine",
        "removed the container oldest",
        `removed the image ${temporary(dead, elsewhere)}`,
        `left the image ${temporary(alive)}: a running transfer uses it`,
      ],
    });
    expect(await removed()).toEqual(["rm -f -v killed", "rm -f -v oldest", `rmi ${temporary(dead, elsewhere)}`]);
  });

  test("the remote side itself checks whether its transfers are alive", async () => {
    await using far = await makeFarHome();
    await addEngine(far, { run: { killed: dead, living: alive } });
    const words = uninstallWords({ image: parseReference("node:24"), paths: [], sudo: false });
    const here = words.map((word) => word.replace(" /dev/shm /tmp /var/tmp", ""));
    const { stdout } = await execa(here[0] ?? "", here.slice(1), { env: far.env, extendEnv: false, stdin: "ignore" });
    expect(stdout.split("\n").map((line) => line.replace("#docker-over-ssh#remote# ", ""))).toEqual([
      "step removed container killed",
      "step left in-use container living",
      "done",
    ]);
  });

  test("fails, after everything else, if something cannot be removed", async () => {
    await using far = await makeFarHome();
    await addEngine(far, { remote: ["c1", "c2"], stuck: ["c1"] });
    expect(await far.setup({ uninstall: true })).toEqual({
      notes: ["left the container c1: it cannot be removed", "removed the container c2"],
      failure: { code: "transfer-failed", message: "not everything on ssh://prod could be removed: c1" },
    });
  });

  test("fails, after everything else, if the engine does not answer", async () => {
    await using far = await makeFarHome();
    await far.setup();
    await addProgram(far.bin, "docker", "exit 1");
    const { failure } = await far.setup({ uninstall: true });
    expect(failure).toMatchObject({ code: "engine-unreachable" });
    expect(await far.files()).toEqual([]);
  });

  test("no word exceeds the limit of csh, 1024 characters", () => {
    const lengths = uninstallWords({ image: parseReference("node:24"), paths: [], sudo: true }).map(
      (word) => word.length,
    );
    expect(Math.max(...lengths)).toBeLessThanOrEqual(1000);
  });
});

test.each([
  [255, "engine-unreachable", "`ssh://prod` ended with status 255 before the script was complete"],
  [0, "engine-unreachable", "`ssh://prod` ended with status 0 before the script was complete"],
])("fails if the login ends with status %d", async (status, code, message) => {
  await using far = await makeFarHome();
  await addProgram(join(far.home, ".."), "ssh", `exit ${status}`);
  for (const uninstall of [true, false]) expect((await far.setup({ uninstall })).failure).toEqual({ code, message });
});

test.each([
  ["lines that setup does not write", ["step removed everything /"]],
  ["docker-over-ssh before a program is tried", ["send"]],
  ["docker-over-ssh a second time", ["try node /node", "send", "send"]],
  ["an image", ["try node /node", "image linux/amd64 node:24"]],
])("rejects a hostile remote side that prints or requests %s", async (_, lines) => {
  await using far = await makeFarHome();
  const echoes = lines.map((line) => `echo "#docker-over-ssh#remote# ${line}"`);
  await addProgram(join(far.home, ".."), "ssh", echoes.join("; "));
  expect((await far.setup()).failure).toMatchObject({
    code: "remote-not-a-tunnel",
    message: expect.stringMatching(/ wrote a line that the setup script does not write at this point: ./) as string,
  });
});
