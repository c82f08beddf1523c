import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { buildImage } from "../testbed/build-image.ts";
import { findProgram } from "../testbed/programs.ts";
import { PROGRAMS, startLoginHost, type LoginHost, type LoginUser } from "../testbed/login-host.ts";
import { bed, done, dos, why, type Run } from "./bed.ts";

/** The image that every test pushes, each under a name of its own. */
const IMAGE = "login-shells:v1";

/** A start file with a banner, for each login shell. dash and ash have none for commands: sshd runs ~/.ssh/rc. */
const GREETING = 'echo "Welcome to far"\n';
const SHELLS: Record<string, Record<string, string>> = {
  bash: { ".bashrc": `set -u\n${GREETING}` },
  dash: { ".ssh/rc": GREETING },
  zsh: { ".zshenv": GREETING },
  fish: { ".config/fish/config.fish": GREETING },
  csh: { ".cshrc": GREETING },
  tcsh: { ".tcshrc": GREETING },
  ash: { ".ssh/rc": GREETING },
};

/** Where people have programs that the PATH of their login lacks. */
const links = { ".local/bin/docker": `${PROGRAMS.docker}/docker`, ".nvm/versions/node/v24.0.0/bin": PROGRAMS.node };

let host: LoginHost;

beforeAll(async () => {
  if (why) return;
  await buildImage(bed.near, IMAGE, [{ name: "login-shells", bytes: 10_000 }]);
  const shells = await Promise.all(
    Object.entries(SHELLS).map(async ([name, files]): Promise<LoginUser> => {
      if (name === "ash")
        return { name, files, links: { ...links, ash: await pathOf("busybox") }, shell: "/home/ash/ash" };
      return { name, files, links, shell: await pathOf(name) };
    }),
  );
  host = await startLoginHost(bed, [...shells, { name: "plain" }]);
});

afterAll(async () => {
  if (why) return;
  await host?.[Symbol.asyncDispose]();
  await bed.near.docker("rmi", IMAGE);
  const { references } = await bed.far.listing();
  const ours = references.filter((name) => name.startsWith("login-shells:"));
  if (ours.length > 0) await bed.far.docker("rmi", ...ours);
});

async function pathOf(program: string): Promise<string> {
  const path = await findProgram(program);
  if (path === undefined) throw new Error(`there is no ${program}`);
  return path;
}

let pushes = 0;

/** Pushes the image under a new name, and returns how it went, and whether the far engine has it. */
async function push(location: string, ...options: string[]): Promise<Run & { arrived: boolean }> {
  const name = `login-shells:run-${++pushes}`;
  const run = await dos(["push", "--verbose", ...options, "--as", name, IMAGE, location], { env: host.env });
  return { ...run, arrived: await hasArrived(name) };
}

async function hasArrived(name: string): Promise<boolean> {
  return (await bed.far.listing()).references.includes(name);
}

describe.skipIf(why)(`a login shell that prints, without docker and node in its PATH ${why ?? ""}`, () => {
  test.each(Object.keys(SHELLS))("%s: by node, in the folder of nvm", async (shell) => {
    const run = await push(`ssh://${shell}@login`, "--far", "node");
    expect(run).toEqual({ ...done, arrived: true });
    expect(run.stderr).toContain("the login shell printed: Welcome to far\n");
    expect(run.stderr).toContain(`remote side: docker-over-ssh on ssh://${shell}@login, sent to the Node there\n`);
  });

  test.each(Object.keys(SHELLS))("%s: by the engine alone, with docker in ~/.local/bin", async (shell) => {
    const run = await push(`ssh://${shell}@login`, "--far", "engine");
    expect(run).toEqual({ ...done, arrived: true });
    expect(run.stderr).toContain("the login shell printed: Welcome to far\n");
    expect(run.stderr).toContain("remote side: docker system dial-stdio");
  });

  test("finds node in the folder of --far-path", async () => {
    const location = "ssh://plain@login";
    const without = await push(location, "--far", "node");
    expect(without).toMatchObject({ exitCode: 5, arrived: false });
    expect(without.stderr).toContain("nothing on ssh://plain@login can be the remote side: node: not found");
    expect(await push(location, "--far", "node", "--far-path", PROGRAMS.node)).toEqual({ ...done, arrived: true });
  });
});
