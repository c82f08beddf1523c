/** The command in typical uses: on a terminal, in a CI job, and with --json. */
import { spawnSync } from "node:child_process";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { execa } from "execa";
import { beforeEach, describe, expect, test } from "vitest";
import { folder, program, run, settings, start } from "../command-line/cli.ts";
import { ID, StandIn } from "./stand-in.ts";

await mkdir(join(folder, "app"));
await writeFile(join(folder, "app/Dockerfile"), "FROM scratch\n");

let server: StandIn;
beforeEach(async () => {
  server = await StandIn.start();
  return async () => await server[Symbol.asyncDispose]();
});

const words = (): string[] => ["publish", "--server", server.url, "team/app:v2", "app"];

test("prints the log on stderr, and exits with the status of the build", async () => {
  server.onAccepted = (build) => {
    build.log.push("#1 [1/2] FROM scratch", "\u001b[31mred\u001b[2J");
    server.end(build, {
      state: "failed",
      reason: { code: "build-failed", message: "step 2 failed", hint: "Mend it.\n  \u001b[2Jlast\n  line" },
    });
  };
  const { exitCode, stderr } = await run(...words());
  expect(exitCode).toBe(15);
  expect(stderr).toMatch(/has accepted the build: build-1\n#1 \[1\/2\] FROM scratch\nred\n/);
  expect(stderr).toMatch(/^docker-over-ssh: step 2 failed\n {2}to do: {4}Mend it\.\n {2}\| last\n {2}\| line$/m);
});

test("reports a successful build in one line", async () => {
  const { exitCode, stderr } = await run(...words());
  expect(exitCode).toBe(0);
  expect(stderr.split("\n").at(-1)).toMatch(/^built team\/app:v2 \(5d5d5d5d5d5d\): /);
});

test("--quiet prints nothing, --detach prints only the ID on stdout, and --json prints events", async () => {
  expect(await run(...words(), "--quiet")).toMatchObject({ exitCode: 0, stderr: "" });
  expect((await start(...words(), "--detach", "--quiet")).stdout).toBe("build-2");
  const { stdout } = await start(...words(), "--json");
  const events = stdout.split("\n").map((line) => JSON.parse(line) as Record<string, unknown>);
  expect(events.at(-1)).toMatchObject({ type: "built", id: ID });
  expect(events).toContainEqual(expect.objectContaining({ code: "build-accepted", id: "build-3" }));
  const detached = await start(...words(), "--json", "--detach");
  expect(JSON.parse(detached.stdout.split("\n").at(-1) ?? "")).toMatchObject({ code: "build-accepted", id: "build-4" });
});

test("publishes an archive from stdin", async () => {
  const archive = (await execa({ encoding: "buffer" })`tar -C ${folder} -c app`).stdout;
  const [node, ...rest] = program as [string, string];
  const given = ["publish", "--server", server.url, "--strip", "1", "team/app:v2", "-"];
  const { exitCode } = await execa(node, [...rest, ...given], { ...settings, input: archive });
  expect(exitCode).toBe(0);
  expect(server.builds).toHaveLength(1);
});

test("SIGTERM, which cancelled CI jobs get, cancels the build", async () => {
  const running = start(...words());
  server.onAccepted = (build) => void (server.log(build, "a"), setImmediate(() => running.kill("SIGTERM")));
  expect((await running).exitCode).toBe(143);
  expect(server.builds[0]?.cancelled).toBe(1);
});

// The program from util-linux, because that of macOS and the BSDs has other options.
const hasTerminals = process.platform === "linux" && spawnSync("script", ["--version"]).status === 0;

describe("Ctrl-C on a terminal", { skip: !hasTerminals }, () => {
  /** @param keys the keys to type when the question is shown */
  async function stopped(keys: string): Promise<{ exitCode: number | undefined; shown: string }> {
    server.onAccepted = (build) => server.log(build, "the first line");
    const command = [...program, ...words()].join(" ");
    const env = { ...settings.env, CI: "", TERM: "xterm" };
    const running = execa("script", ["-qec", command, "/dev/null"], { ...settings, env, stdin: "pipe" });
    let shown = "";
    const typed = new Set<string>();
    const type = (after: string, text: string): void => {
      if (!shown.includes(after) || typed.has(after)) return;
      typed.add(after);
      running.stdin.write(text);
    };
    running.stdout.on("data", (chunk: Buffer) => {
      shown += chunk.toString();
      type("the first line", "\u0003");
      type("Cancel the build", keys);
    });
    const { exitCode } = await running;
    return { exitCode, shown };
  }

  test.each([
    ["y\r", 1, "cancelled the build: build-1"],
    ["n\r", 0, "the build continues: build-1"],
    ["\u0004", 0, "the build continues: build-1"],
  ])("asks; %j", async (keys, cancelled, words) => {
    const { exitCode, shown } = await stopped(keys);
    expect(shown).toContain(words);
    expect([exitCode, server.builds[0]?.cancelled]).toEqual([130, cancelled]);
  });

  test("a second one ends the command at once, and the build continues", async () => {
    const { exitCode, shown } = await stopped("\u0003");
    expect([exitCode, server.builds[0]?.cancelled]).toEqual([130, 0]);
    expect(shown).not.toContain("the build continues:");
  });
});

if (!hasTerminals) console.info("Ctrl-C on a terminal is not tested: there is no script(1) of util-linux");
