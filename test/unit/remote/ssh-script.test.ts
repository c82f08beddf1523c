import { chmod, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { execa } from "execa";
import { describe, expect, test } from "vitest";
import { readConnection } from "../../../src/commands/read-connection.ts";
import { findMarker, sshCommand } from "../../../src/remote/ssh-script.ts";
import type { SshConnection } from "../../../src/request.ts";
import { temporaryFolder } from "../engine/fake-engine.ts";

const prod = readConnection(["ssh://deploy@prod:2222"]) as SshConnection;

describe("ssh://[user@]host[:port] in place of a command", () => {
  test("is a login with the user's own ssh, without a terminal", () => {
    const command = sshCommand(prod, ["pull", "app:v2"]);
    expect(command.slice(0, command.indexOf("sh"))).toEqual(
      "ssh -l deploy -p 2222 -o ConnectTimeout=30 -o ServerAliveInterval=5 -o ServerAliveCountMax=4 -T -- prod".split(
        " ",
      ),
    );
  });

  test("a word that cannot be quoted for the remote shell is refused", () => {
    expect(() => sshCommand(prod, ["app'; rm -rf /; '"])).toThrow("cannot be quoted");
  });
});

/** Joins the words after the host for the login shell, as ssh does. */
const line = (words: string[], sudo: boolean): string => {
  const command = sshCommand({ ...prod, sudo }, words);
  return command.slice(command.indexOf("prod") + 1).join(" ");
};

const shells = ["sh", "dash", "bash", "ksh", "zsh", "csh", "tcsh", "fish"];
const installed = await Promise.all(
  shells.map(async (shell) => (await execa({ reject: false })`which ${shell}`).exitCode === 0),
);
const have = shells.filter((_, index) => installed[index]);

describe.each(have)("the script in the remote shell %s", (shell) => {
  interface RunOptions {
    sudo?: boolean;
    words?: string[];
    /** The shell command that `docker version` runs. */
    version?: string;
  }

  /** Runs the line with only these programs in PATH; each prints its name and arguments. */
  async function run(programs: string[], options: RunOptions = {}) {
    const { sudo = false, words = ["pull", "--timeout", "5", "app:v2"], version = "echo 1.56" } = options;
    await using folder = await temporaryFolder();
    const bin = join(folder.path, "bin");
    await mkdir(bin);
    for (const name of programs) {
      const file = join(bin, name);
      const script = `case "$*" in *"version --format {{.Server.APIVersion}}") ${version} ;; *) echo "[${name}]" "$@" ;; esac`;
      await writeFile(file, `#!/bin/sh\n${script}\n`);
      await chmod(file, 0o755);
    }
    await execa`ln -s /bin/sh ${join(bin, "sh")}`;
    const file = (await execa`which ${shell}`).stdout;
    const env = { PATH: bin, HOME: folder.path };
    const { stdout, exitCode } = await execa(file, ["-c", line(words, sudo)], { env, extendEnv: false, reject: false });
    const mark = findMarker(`${stdout}\n`);
    return { said: mark?.words, ran: `${stdout}\n`.slice(mark?.end).trim().replaceAll(folder.path, ""), exitCode };
  }

  test("docker-over-ssh is run if it is installed", async () => {
    expect(await run(["docker-over-ssh", "docker", "podman"])).toEqual({
      said: "docker-over-ssh",
      ran: "[docker-over-ssh] pull --timeout 5 app:v2",
      exitCode: 0,
    });
  });

  test("otherwise docker, otherwise podman", async () => {
    expect(await run(["docker", "podman"])).toMatchObject({ said: "docker 1.56", ran: "[docker] system dial-stdio" });
    expect(await run(["podman"])).toMatchObject({ said: "podman", ran: "[podman] system dial-stdio" });
  });

  test("docker is run without its version if the engine is down, and prints the error itself", async () => {
    const version = "echo Cannot connect >&2; exit 1";
    expect(await run(["docker"], { version })).toMatchObject({ said: "docker", ran: "[docker] system dial-stdio" });
  });

  test("sudo is run with -n, so that it does not ask for a password", async () => {
    expect(await run(["docker", "sudo"], { sudo: true })).toMatchObject({
      said: "docker 1.56",
      ran: "[sudo] -n /bin/docker system dial-stdio",
    });
  });

  test("without any of them, the line contains nothing and the remote PATH", async () => {
    const { said, exitCode } = await run([]);
    expect({ said: said?.replace(/ .*\/bin$/, " …/bin"), exitCode }).toEqual({ said: "nothing …/bin", exitCode: 127 });
  });

  test("an image's name arrives as it is", async () => {
    const name = "registry.example.com:8443/team/a__b/app-x:1.0_x-y@sha256:0123";
    expect((await run(["docker-over-ssh"], { words: ["push", name] })).ran).toBe(`[docker-over-ssh] push ${name}`);
  });
});

describe("the line that names the program found", () => {
  test.each(["", "Welcome\n", "no line feed"])("behind %j", (banner) => {
    const text = `${banner}#docker-over-ssh#remote# docker\nHTTP/1.1 200 OK`;
    const found = findMarker(text);
    expect({ ...found, rest: text.slice(found?.end) }).toMatchObject({
      start: banner.length,
      words: "docker",
      rest: "HTTP/1.1 200 OK",
    });
  });

  test("is not found before it is complete", () => {
    expect(findMarker("Welcome\n#docker-over-ssh#remote# dock")).toBeUndefined();
    expect(findMarker("Welcome\n")).toBeUndefined();
  });
});
