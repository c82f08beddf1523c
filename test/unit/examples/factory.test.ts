import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { execa } from "execa";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { parseCommandLine } from "../../../src/cli.ts";
import { example } from "./stand-ins.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "dos-factory-"));
  mkdirSync(join(folder, "bin"));
});
afterEach(() => rmSync(folder, { recursive: true }));

function standIns(programs: Record<string, string>): void {
  for (const [name, code] of Object.entries(programs)) {
    const text = `#!/bin/sh\necho "${name} $*" >>${join(folder, "calls")}\n${code}\n`;
    writeFileSync(join(folder, "bin", name), text, { mode: 0o755 });
  }
}

async function run(script: string, args: readonly string[], env: Record<string, string>, input = "") {
  const PATH = [join(folder, "bin"), process.env["PATH"]].join(delimiter);
  return await execa(example(`factory/${script}`), args, { env: { ...env, PATH }, input, reject: false, cwd: folder });
}

const calls = (): string[] => readFileSync(join(folder, "calls"), "utf8").trim().split("\n");

/** Returns the build that the key of a line in authorized_keys may run for this command of a client. */
async function requestOf(line: string, asked: string): Promise<unknown> {
  const [, command = ""] = /^restrict,command="([^"]+)" ssh-ed25519 /.exec(line) ?? [];
  // The shell of the account splits it.
  const { stdout } = await execa("sh", [
    "-c",
    `for word in ${command.replace("docker-over-ssh", "")}; do echo "$word"; done`,
  ]);
  const argv = ["node", "docker-over-ssh", ...stdout.split("\n")];
  const parsed = await parseCommandLine(argv, { SSH_ORIGINAL_COMMAND: asked }, { out: () => {}, err: () => {} });
  return "job" in parsed ? (parsed.job as unknown as { request: unknown }).request : parsed;
}

test("authorized_keys lets a key build the names that match its pattern", async () => {
  const line = readFileSync(example("factory/authorized_keys"), "utf8");
  expect(await requestOf(line, "team/app:v2")).toMatchObject({
    keep: 5,
    jobs: 2,
    published: { domain: "registry.example.com" },
  });
  await expect(requestOf(line, "other/app:v2")).rejects.toMatchObject({ code: "refused" });
});

describe("setup.sh", () => {
  const account = {
    getent: 'echo "factory:x:1:1::$HOME_OF:/bin/sh"',
    install: 'mkdir -p "$HOME_OF/.ssh"',
    chown: "",
    useradd: "",
  };
  const setup = async (env: Record<string, string>) => {
    writeFileSync(join(folder, "git.pub"), "ssh-ed25519 AAAA git@example.com\n");
    return await run("setup.sh", [join(folder, "git.pub")], { HOME_OF: folder, ...env });
  };
  const keys = (): string => readFileSync(join(folder, ".ssh/authorized_keys"), "utf8");

  test("creates the account and its key", async () => {
    standIns({ ...account, id: "exit 1" });
    expect(await setup({ ALLOW: "team/*", REGISTRY: "registry.example.com" })).toMatchObject({
      exitCode: 0,
      stderr: "",
    });
    expect(calls().slice(0, 2)).toEqual([
      "id factory",
      "useradd --create-home --shell /bin/sh --groups docker factory",
    ]);
    expect(statSync(join(folder, ".ssh/authorized_keys")).mode & 0o777).toBe(0o600);
    // The file next to it is an example of the output.
    const shown = readFileSync(example("factory/authorized_keys"), "utf8");
    expect(keys().replace(/ ssh-.*/s, "")).toBe(shown.replace(/ ssh-.*/s, ""));
    expect(await requestOf(keys(), "team/app")).toMatchObject({ name: { path: "team/app" } });
  });

  test("adds a second key, without a registry, to an existing account", async () => {
    standIns({ ...account, id: "" });
    await setup({ ALLOW: "team/*" });
    await setup({ ALLOW: "web/app" });
    expect(calls().filter((call) => call.startsWith("useradd"))).toEqual([]);
    const [first = "", second = ""] = keys().trim().split("\n");
    await expect(requestOf(first, "web/app")).rejects.toMatchObject({ code: "refused" });
    expect(await requestOf(second, "web/app")).toMatchObject({ name: { path: "web/app" } });
  });

  test.each([{ ALLOW: `team/*' --host x '` }, { ALLOW: "team/*", REGISTRY: 'a" b' }])("rejects %j", async (env) => {
    standIns({ ...account, id: "" });
    expect(await setup(env)).toMatchObject({ exitCode: 2 });
  });
});

describe("post-receive", () => {
  const COMMIT = "1".repeat(40);
  const git = `case "$*" in
  "config factory.host") echo factory@build ;;
  "config factory.image") echo team/app ;;
  "config factory.branch") exit 1 ;;
  archive*) echo the tree ;;
  rev-parse*) echo 111111111111 ;;
esac`;

  test("sends only the commit of the branch", async () => {
    standIns({ git, ssh: "cat >$SENT" });
    const zeros = "0".repeat(40);
    const lines = `${zeros} ${COMMIT} refs/heads/other\n${zeros} ${COMMIT} refs/heads/main\n${COMMIT} ${zeros} refs/heads/main\n`;
    const hook = await run("post-receive", [], { SENT: join(folder, "sent") }, lines);
    expect(hook).toMatchObject({ exitCode: 0, stderr: "" });
    expect(readFileSync(join(folder, "sent"), "utf8")).toBe("the tree\n");
    expect(
      calls()
        .filter((call) => /^(?:ssh|git archive)/.test(call))
        .toSorted(),
    ).toEqual([`git archive --format=tar.gz ${COMMIT}`, "ssh factory@build team/app:111111111111"]);
  });
});
