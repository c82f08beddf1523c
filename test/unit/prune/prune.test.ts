import { mkdir, readdir, readFile, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { execa } from "execa";
import { describe, expect, test } from "vitest";
import { pruneCommand, type PruneOptionValues } from "../../../src/commands/prune.ts";
import { outputTo } from "../../../src/output/output.ts";
import { noteText } from "../../../src/output/texts.ts";
import { newRunId } from "../../../src/run/run-id.ts";
import { answer, fakeEngine, temporaryFolder } from "../engine/fake-engine.ts";
import { addProgram, makeFarHome } from "../remote/setup/far-home.ts";

const alive = newRunId();
const dead = newRunId(Number((await execa`sh -c ${"echo $$"}`).stdout));

/** Runs `docker-over-ssh prune`, and returns its output. */
async function prune(
  home: string,
  words: string[] = [],
  options: PruneOptionValues = {},
  engine = "unix:///nowhere.sock",
): Promise<string[]> {
  const notes: string[] = [];
  const output = outputTo((event) => {
    if (event.type === "note") notes.push(noteText(event).replaceAll(home, "~"));
  });
  const env = { HOME: home, DOCKER_HOST: engine };
  const job = await pruneCommand.toJob(words, options, env);
  await job.run({ output, signal: new AbortController().signal, env });
  return notes.filter((note) => !note.startsWith("no engine"));
}

/** A home folder with a cache folder that two runs have used. One of them was killed. */
async function fill(home: string): Promise<string> {
  const cache = join(home, ".cache/docker-over-ssh");
  for (const name of ["kept", "code", `spool-${dead}-x`, `spool-${alive}-x`])
    await mkdir(join(cache, name), { recursive: true, mode: 0o700 });
  const layer = "0".repeat(64);
  for (const name of [
    `kept/${layer}`,
    `kept/${layer}.${alive}`,
    `kept/${layer}.${dead}`,
    "code/one",
    `spool-${dead}-x/1`,
    "bundle-1.cjs",
  ])
    await writeFile(join(cache, name), Buffer.alloc(8192, 1));
  return cache;
}

const LEFT = ["container c1", "volume cache"].map((what) => `left the ${what}: a running transfer uses it`);

describe("prune", () => {
  test("removes the stored contexts that no run receives, and the remembered files", async () => {
    await using folder = await temporaryFolder();
    const cache = join(folder.path, ".cache/docker-over-ssh");
    const [free, busy] = ["a".repeat(64), "b".repeat(64)];
    for (const name of ["contexts", `contexts/${busy}.lock`, "pieces"])
      await mkdir(join(cache, name), { recursive: true, mode: 0o700 });
    for (const name of [
      `contexts/${free}.pack`,
      `contexts/${busy}.pack`,
      `contexts/${busy}.lock/${alive}`,
      `pieces/${free}`,
    ])
      await writeFile(join(cache, name), Buffer.alloc(8192, 1));
    const notes = await prune(folder.path);
    expect(notes).toEqual([
      `removed the stored build context ~/.cache/docker-over-ssh/contexts/${free}.pack`,
      `removed the file ~/.cache/docker-over-ssh/pieces/${free}`,
      expect.stringMatching(/^16\.\d kB of files were removed$/),
    ]);
    expect(await readdir(join(cache, "contexts"))).toEqual([`${busy}.lock`, `${busy}.pack`]);
  });

  test("removes everything that no run uses, and reports each object and its bytes", async () => {
    await using folder = await temporaryFolder();
    const cache = await fill(folder.path);
    const layer = "0".repeat(64);
    const notes = await prune(folder.path);
    expect(notes).toContain(`removed the spool ~/.cache/docker-over-ssh/spool-${dead}-x`);
    expect(notes.at(-1)).toMatch(/^4\d(?:\.\d)? kB of files were removed$/);
    expect((await readdir(cache, { recursive: true })).toSorted()).toEqual([
      "code",
      "kept",
      `kept/${layer}.${alive}`,
      `spool-${alive}-x`,
    ]);
  });

  test("--dry-run reports the same, and removes nothing", async () => {
    await using folder = await temporaryFolder();
    const cache = await fill(folder.path);
    const before = await readdir(cache, { recursive: true });
    const notes = await prune(folder.path, [], { dryRun: true });
    expect(notes).toContain("would remove the file ~/.cache/docker-over-ssh/bundle-1.cjs");
    expect(notes.at(-1)).toMatch(/^4\d(?:\.\d)? kB of files would be removed$/);
    expect(await readdir(cache, { recursive: true })).toEqual(before);
  });

  test("--older-than leaves objects that have been changed since", async () => {
    await using folder = await temporaryFolder();
    const cache = await fill(folder.path);
    const old = Date.now() / 1000 - 3 * 86_400;
    await utimes(join(cache, "bundle-1.cjs"), old, old);
    expect(await prune(folder.path, [], { olderThan: 86_400_000 })).toEqual([
      "removed the file ~/.cache/docker-over-ssh/bundle-1.cjs",
      expect.stringMatching(/^8\.\d kB of files were removed$/),
    ]);
  });

  test.each<[PruneOptionValues, boolean, string[], string[]]>([
    [{}, false, ["removed the container c1", "removed the volume cache"], ["/containers/c1", "/volumes/cache"]],
    [{ dryRun: true }, false, ["would remove the container c1", "would remove the volume cache"], []],
    [{ olderThan: 1 }, false, ["removed the container c1"], ["/containers/c1"]],
    [{}, true, [...LEFT], ["/volumes/cache"]],
    [{ dryRun: true }, true, [...LEFT], []],
  ])(
    "%j: the volume and the containers of remote sides in containers, unless one runs: %s",
    async (options, isRunning, told, removed) => {
      await using folder = await temporaryFolder();
      const State = isRunning ? "running" : "exited";
      await using engine = await fakeEngine({
        "GET /containers/json": ({ query }, response) =>
          answer(response, 200, query.get("filters")?.includes("docker-over-ssh.remote") ? [{ Id: "c1", State }] : []),
        "GET /version": (_, response) => answer(response, 200, { Components: [] }),
        "GET /images/json": (_, response) => answer(response, 200, []),
        "GET /volumes": ({ query }, response) =>
          answer(response, 200, {
            Volumes: query.get("filters")?.includes("docker-over-ssh.remote") ? [{ Name: "cache" }] : [],
          }),
        "DELETE /containers/c1": (_, response) => answer(response, 204),
        "DELETE /volumes/cache": (_, response) =>
          isRunning ? answer(response, 409, { message: "in use" }) : answer(response, 204),
      });
      const notes = await prune(folder.path, [], options, `unix://${engine.socketPath}`);
      expect(notes.slice(0, -1)).toEqual(told);
      expect(engine.calls().filter((call) => call.startsWith("DELETE"))).toEqual(
        removed.map((path) => `DELETE ${path}`),
      );
    },
  );

  test.each([true, false])("on a host, leaves the installation of setup (dry run: %s)", async (dryRun) => {
    await using far = await makeFarHome();
    await far.setup();
    const cache = await fill(far.home);
    await execa`rm -r ${join(cache, `spool-${alive}-x`)}`;
    const log = join(far.home, "../log");
    await addProgram(
      far.bin,
      "docker",
      `case "$*" in
        *--filter" label=docker-over-ssh.run") echo c1 ;;
        *docker-over-ssh.run*) echo ${dead} ;;
        rm*) echo "$*" >> ${log} ;;
      esac`,
    );
    const before = await far.files();
    const notes = await prune(far.home, ["ssh://prod"], { dryRun, ssh: [join(far.home, "../ssh")] });
    const did = dryRun ? "would remove" : "removed";
    expect(notes.slice(0, 2)).toEqual([`${did} the cache folder ~/.cache/docker-over-ssh`, `${did} the container c1`]);
    expect(notes.at(-1)).toMatch(
      dryRun ? /^[\d.]+ kB of files would be removed$/ : /^[\d.]+ kB of files were removed$/,
    );
    const after = await far.files();
    expect(after).toEqual(dryRun ? before : before.filter((name) => !name.startsWith(".cache")));
    expect(after).toContain(".local/bin/docker-over-ssh");
    expect(await readFile(log, "utf8").catch(() => "")).toBe(dryRun ? "" : "rm -f -v c1\n");
  });

  test("rejects options of this side together with a host", () => {
    expect(() => pruneCommand.toJob(["prod"], { olderThan: 1 }, {})).toThrow("--older-than is for this side");
  });
});
