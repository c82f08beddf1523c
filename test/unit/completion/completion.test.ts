import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { execa } from "execa";
import { describe, expect, test } from "vitest";
import { buildProgram, commandsForPeople } from "../../../src/cli.ts";
import { COMMANDS } from "../../../src/commands/all-commands.ts";
import { withOutputOptions } from "../../../src/commands/options/output-options.ts";
import { nextWords } from "../../../src/completion/next-words.ts";
import { sshHosts } from "../../../src/completion/ssh-hosts.ts";
import { program } from "../command-line/cli.ts";
import { temporaryFolder } from "../engine/fake-engine.ts";

const completed = COMMANDS.filter(({ isHidden }) => !isHidden);
const commands = completed.map(({ options, ...command }) => ({ ...command, options: withOutputOptions(options) }));
const sources = { images: async () => ["app:v1", "app:v2", "base:1"], hosts: () => ["prod", "ci", "staging"] };
const next = async (...typed: string[]) => await nextWords(typed, commands, sources);

describe("the words that may come next", () => {
  test.each<[string[], string[]]>([
    [["pu"], ["push", "pull", "publish"]],
    [
      ["push", "ap"],
      ["app:v1", "app:v2"],
    ],
    [["push", "app:v2", "p"], ["prod"]],
    [["push", "app:v2", "ssh://p"], ["ssh://prod"]],
    [
      ["push", "--delta", ""],
      ["auto", "always", "never"],
    ],
    [["push", "--quiet", "--bwlimit", "5m", "b"], ["base:1"]],
    [
      ["setup", "--uninstall", "s"],
      ["staging", "ssh://prod", "ssh://ci", "ssh://staging"],
    ],
    [["push", "--preserve"], ["--preserve-digest"]],
    [
      ["plugin", ""],
      ["install", "uninstall"],
    ],
    [["unknown", ""], []],
  ])("after %j are %j", async (typed, words) => {
    expect(await next(...typed)).toEqual(words);
  });

  test("include each command", () => {
    const names = commandsForPeople(buildProgram(() => {}, {})).map((command) => command.name());
    expect(completed.map(({ name }) => name).toSorted()).toEqual(names.toSorted());
  });
});

/** A home folder with ssh settings. */
async function writeHosts(home: string): Promise<void> {
  await mkdir(join(home, ".ssh/more"), { recursive: true });
  await writeFile(join(home, ".ssh/config"), "Include more/*.conf\nHost prod *.example\n  User x\nInclude config\n");
  await writeFile(join(home, ".ssh/more/ci.conf"), "Host ci !bad\n");
  await writeFile(join(home, ".ssh/known_hosts"), "|1|hash= ssh-rsa A\nold,[new]:2222 ssh-rsa A\n");
}

test("completes hosts from the ssh settings, included files and known hosts", async () => {
  await using folder = await temporaryFolder();
  await writeHosts(folder.path);
  expect(sshHosts(folder.path)).toEqual(["ci", "prod", "old", "new:2222"]);
  expect(sshHosts("/nowhere")).toEqual([]);
});

/** Looks for the shell without starting it, because fish writes to the home folder, which all tests share. */
const has = async (shell: string) => (await execa({ reject: false })`sh -c ${`command -v ${shell}`}`).exitCode === 0;
const [bash, zsh, fish] = [await has("bash"), await has("zsh"), await has("fish")];
const why = (isHere: boolean, shell: string) => (isHere ? "" : ` (${shell} is not installed)`);

describe("in a shell", () => {
  /** Runs a script in a shell whose PATH has docker-over-ssh. */
  async function run(shell: string, script: string): Promise<string[]> {
    await using folder = await temporaryFolder();
    await writeHosts(folder.path);
    await mkdir(join(folder.path, "bin"));
    await writeFile(join(folder.path, "bin/docker-over-ssh"), `#!/bin/sh\nexec ${program.join(" ")} "$@"\n`, {
      mode: 0o755,
    });
    const env = {
      HOME: folder.path,
      PATH: `${join(folder.path, "bin")}:${process.env["PATH"]}`,
      DOCKER_HOST: "unix:///nowhere",
    };
    return (await execa(shell, ["-c", script], { env })).stdout.split("\n");
  }

  test.skipIf(!bash)(`bash completes, also after a colon${why(bash, "bash")}`, async () => {
    const script = `eval "$(docker-over-ssh completion bash)"
      COMP_WORDBREAKS=$' \\t\\n:='
      COMP_LINE="docker-over-ssh push --de"; COMP_POINT=\${#COMP_LINE}; _docker_over_ssh; echo "\${COMPREPLY[*]}"
      COMP_LINE="docker-over-ssh push app ssh://pr"; COMP_POINT=\${#COMP_LINE}; _docker_over_ssh; echo "\${COMPREPLY[*]}"
      COMP_LINE="docker-over-ssh setup "; COMP_POINT=\${#COMP_LINE}; _docker_over_ssh; echo "\${COMPREPLY[*]}"`;
    expect(await run("bash", script)).toEqual(["--delta", "//prod", "ci prod old new:2222"]);
  });

  test.skipIf(!zsh)(`zsh completes${why(zsh, "zsh")}`, async () => {
    const script = `compdef() { :; }; compadd() { print -rl -- $found; }; _files() { print files; }
      source <(docker-over-ssh completion zsh)
      words=(docker-over-ssh push --de); CURRENT=3; _docker_over_ssh
      words=(docker-over-ssh push nothing); CURRENT=3; _docker_over_ssh`;
    expect(await run("zsh", script)).toEqual(["--delta", "files"]);
  });

  test.skipIf(!fish)(`fish completes${why(fish, "fish")}`, async () => {
    const script = `docker-over-ssh completion fish | source
      complete -C "docker-over-ssh push --de"
      complete -C "docker-over-ssh setup ssh://pr"`;
    expect(await run("fish", script)).toEqual(expect.arrayContaining(["--delta", "ssh://prod"]));
  });
});
