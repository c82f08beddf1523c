import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { buildImage } from "../testbed/build-image.ts";
import { until } from "../testbed/wait.ts";
import { bed, done, dos, isOfBed, startDos, untilPrinted, why } from "./bed.ts";

/** Images on the near and on the far engine. Their bytes are random, so that a transfer takes long enough to be interrupted. */
const [THERE, BACK] = ["user-ssh:there", "user-ssh:back"];

let folder: string;
let loginsBefore: number;

beforeAll(async () => {
  if (why) return;
  await buildImage(bed.near, THERE, [{ name: "user-ssh-there", bytes: 4_000_000 }]);
  await buildImage(bed.far, BACK, [{ name: "user-ssh-back", bytes: 100_000 }]);
});

afterAll(async () => {
  if (why) return;
  await bed.near.docker("rmi", THERE);
  await bed.far.docker("rmi", BACK);
});

beforeEach(() => {
  if (why) return;
  folder = mkdtempSync(join(tmpdir(), "dos-user-ssh-"));
  loginsBefore = 0;
  loginsBefore = logins().length;
});

afterEach(async () => {
  if (why) return;
  await bed.limitRate(undefined);
  await expect.poll(processesLeft, { timeout: 20_000 }).toEqual([]);
  rmSync(folder, { recursive: true });
});

/** Puts an `ssh` first in PATH with these settings before the test bed's, like a user's ~/.ssh/config. */
function withConfig(settings: string, others = readFileSync(bed.sshConfig, "utf8")): Record<string, string> {
  const config = join(folder, "config");
  writeFileSync(config, `${settings}\n${others}`);
  writeFileSync(join(folder, "ssh"), `#!/bin/sh\nexec ${join(bed.bin, "ssh")} -F ${config} "$@"\n`, { mode: 0o755 });
  return { PATH: `${folder}:${bed.env["PATH"]}` };
}

/** Returns the origins of the logins to the far sshd during this test. */
function logins(): string[] {
  const log = readFileSync(join(bed.folder, "far/sshd.log"), "utf8");
  return Array.from(log.matchAll(/^Accepted publickey for root from (\S+)/gm), ([, from = ""]) => from).slice(
    loginsBefore,
  );
}

/** Returns the running processes of command lines of this test bed, on either machine, and of ssh. */
async function processesLeft(): Promise<string[]> {
  const ours = `docker-over-ssh.js (push|pull)|system dial-stdio|${folder}`;
  const { stdout } = await execa({ reject: false })`pgrep -fa ${ours}`;
  // Without the processes of other test beds. An ssh master in the background overwrites its environment with its title.
  const isOurs = (line: string): boolean => line.includes(folder) || isOfBed(line.split(" ")[0] ?? "");
  return stdout.split("\n").filter((line) => line !== "" && isOurs(line));
}

/** Pushes an image and pulls another one, runs both where they have arrived, and removes them. */
async function thereAndBack(location: string, env: Record<string, string>): Promise<void> {
  for (const [verb, image, to] of [
    ["push", THERE, bed.far],
    ["pull", BACK, bed.near],
  ] as const) {
    expect(await dos([verb, image, location], { env })).toEqual(done);
    expect((await to.docker("run", "--rm", image)).stdout).toBe(image.replace(":", " "));
    await to.docker("rmi", image);
  }
}

/** Port 2223 is a host with docker-over-ssh, port 2224 a host with docker alone (ssh.ts). */
const REMOTE_SIDES = [
  ["docker-over-ssh", 2223],
  ["an engine alone", 2224],
] as const;

describe.skipIf(why)(`ssh://HOST is the user's own ssh ${why ?? ""}`, () => {
  test.each(REMOTE_SIDES)("through a jump host, to %s", async (_, port) => {
    // The far machine's 127.0.0.1, reachable only from that machine.
    const env = withConfig("Host inside\n  HostName 127.0.0.1\n  ProxyJump far\n");
    await thereAndBack(`ssh://root@inside:${port}`, env);
    const [jump, inside] = [expect.not.stringMatching("127.0.0.1") as string, "127.0.0.1"];
    expect(logins()).toEqual([jump, inside, jump, inside]);
  });

  describe("with ControlMaster and ControlPersist", () => {
    let env: Record<string, string>;
    const master = async (word: string): Promise<number | undefined> =>
      (await execa({ env: { ...bed.env, ...env }, reject: false })`ssh -O ${word} far`).exitCode;

    beforeEach(() => {
      env = withConfig(`Host far\n  ControlMaster auto\n  ControlPersist yes\n  ControlPath ${folder}/%r@%h\n`);
    });
    afterEach(async () => {
      expect(await master("exit")).toBe(0);
    });

    test.each(REMOTE_SIDES)("several transfers share one login, to %s", async (_, port) => {
      await thereAndBack(`ssh://root@far:${port}`, env);
      expect(logins()).toHaveLength(1);
      expect(await processesLeft()).toEqual([expect.stringContaining("[mux]")]);
    });

    test("an interrupted transfer leaves only the shared master", async () => {
      await bed.limitRate(8);
      const run = startDos(["push", THERE, "ssh://far"], { env });
      await untilPrinted(run, "sending");
      run.kill("SIGINT");
      expect((await run).exitCode).toBe(130);
      await expect.poll(processesLeft, { timeout: 20_000 }).toEqual([expect.stringContaining("[mux]")]);
      expect(await master("check")).toBe(0);
    });
  });

  test("with a key that only an agent has; without the agent, the login fails", async () => {
    const others = readFileSync(bed.sshConfig, "utf8").replaceAll(/^ *Identit.*\n/gm, "");
    const env = withConfig("Host *\n  IdentityFile none\n", others);
    const agent = { SSH_AUTH_SOCK: join(folder, "agent") };
    const running = execa({ reject: false })`ssh-agent -D -a ${agent.SSH_AUTH_SOCK}`;
    try {
      const add = execa({ env: agent, reject: false });
      await until(
        "the agent has the key",
        async () => !(await add`ssh-add ${join(bed.folder, "ssh/user-key")}`).failed,
      );
      await thereAndBack("ssh://root@far:22", { ...env, ...agent });
    } finally {
      running.kill();
      await running;
    }
    const without = await dos(["push", THERE, "ssh://root@far:22"], { env: { ...env, SSH_AUTH_SOCK: "" } });
    expect(without).toMatchObject({ exitCode: 4, stdout: "" });
    expect(without.stderr).toMatch(/^remote: .*Permission denied \(publickey\)/m);
  });
});
