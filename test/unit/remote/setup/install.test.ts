import { chmod, chown, mkdir, readdir, readFile, symlink, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { execa } from "execa";
import { describe, expect, test } from "vitest";
import { readBundle } from "../../../../src/remote/script/bundle.ts";
import { launcherText } from "../../../../src/remote/setup/launcher.ts";
import { VERSION } from "../../../../src/version.ts";
import { temporaryFolder } from "../../engine/fake-engine.ts";
import { addProgram, makeFarHome, type FarHome } from "./far-home.ts";

const launcher = ".local/bin/docker-over-ssh";
const wrote = [
  expect.stringMatching(/^wrote docker-over-ssh itself in ~\/\.local\/share\/docker-over-ssh\/[0-9a-f]{16}$/),
  "wrote the launcher ~/.local/bin/docker-over-ssh",
  "transfers to ssh://prod now use this installation, although ~/.local/bin is not in the PATH of a non-login shell there",
];

/** Another group to which this user may assign a file. Root may use any group. */
const otherGroup = process.getuid?.() === 0 ? 1 : process.getgroups?.().find((group) => group !== process.getgid?.());

/** Runs the installed command with only these folders in PATH. */
async function run({ home, env }: FarHome, args: string[], more: Record<string, string> = {}) {
  return await execa(join(home, launcher), args, { env: { ...env, ...more }, extendEnv: false, reject: false });
}

const shells = ["dash", "bash", "ksh", "zsh", "csh", "tcsh", "fish", "busybox sh"];
const installed = await Promise.all(
  shells.map(async (shell) => (await execa({ reject: false })`which ${shell.split(" ")[0] ?? ""}`).exitCode === 0),
);

const missing = shells.filter((_, index) => !installed[index]);

test.skipIf(missing.length > 0)(
  `each login shell is here; not installed, and not tested: ${missing.join(", ")}`,
  () => {
    expect(missing).toEqual([]);
  },
);

describe.each(shells.filter((_, index) => installed[index]))("the login shell %s", (shell) => {
  test("setup installs, and --uninstall leaves nothing behind", async () => {
    await using far = await makeFarHome({ shell });
    await execa`${join(far.home, "../ssh")} -- prod true`; // fish creates its own folders
    const before = await far.files();
    expect(await far.setup()).toEqual({ notes: wrote });
    expect((await run(far, ["--version"])).stdout).toBe(VERSION);
    expect((await far.setup({ uninstall: true })).notes).toEqual([
      "removed the launcher ~/.local/bin/docker-over-ssh",
      "removed docker-over-ssh itself in ~/.local/share/docker-over-ssh",
      "no files of docker-over-ssh remain on ssh://prod",
    ]);
    expect(await far.files()).toEqual(before);
    expect(await far.setup({ uninstall: true })).toEqual({
      notes: ["no files of docker-over-ssh remain on ssh://prod"],
    });
  });
});

describe("setup", () => {
  test("changes nothing the second time, and repairs a damaged installation", async () => {
    await using far = await makeFarHome();
    await far.setup();
    const files = await far.files();
    const again = await far.setup();
    expect(again.notes).toEqual([
      expect.stringMatching(/^already present: docker-over-ssh itself in ~/),
      "already present: the launcher ~/.local/bin/docker-over-ssh",
      wrote[2],
    ]);
    const command = files.find((name) => /dist\/bundle-\w+\.cjs$/.test(name)) ?? "";
    await writeFile(join(far.home, command), "damaged");
    expect(await far.setup()).toEqual({
      notes: [wrote[0], "already present: the launcher ~/.local/bin/docker-over-ssh", wrote[2]],
    });
    expect(await far.files()).toEqual(files);
    expect((await run(far, ["--version"])).stdout).toBe(VERSION);
  });

  test("replaces another version, and removes it", async () => {
    await using far = await makeFarHome();
    await far.setup();
    const files = await far.files();
    const text = await readFile(join(far.home, launcher), "utf8");
    await writeFile(join(far.home, launcher), text.replaceAll(VERSION, "0.0.1"));
    await mkdir(join(far.home, ".local/share/docker-over-ssh/0123456789abcdef/dist"), { recursive: true });
    expect((await far.setup()).notes).toContain(wrote[1]);
    expect(await readFile(join(far.home, launcher), "utf8")).toBe(text);
    expect(await far.files()).toEqual(files);
  });

  test("removes the partial launchers of killed setups, and no other files", async () => {
    await using far = await makeFarHome();
    const bin = join(far.home, ".local/bin");
    const [text, longAgo] = [launcherText({ version: "1", node: "/node", start: "/start" }), new Date(0)];
    const write = async (name: string, content: string, at = longAgo) => {
      await writeFile(join(bin, name), content);
      await utimes(join(bin, name), at, at);
    };
    await mkdir(bin, { recursive: true });
    await write("docker-over-ssh.1001", text);
    await write("docker-over-ssh.1002", "");
    const kept = ["docker-over-ssh.1003", "docker-over-ssh.1004", "docker-over-ssh.1005", "docker-over-ssh.old"];
    await write("docker-over-ssh.1003", text, new Date()); // the file of a setup that may still run
    await write("docker-over-ssh.1004", "#!/bin/sh\n# mine\n");
    await write("docker-over-ssh.old", text);
    await symlink("docker-over-ssh.old", join(bin, "docker-over-ssh.1005"));
    await far.setup();
    expect((await readdir(bin)).toSorted()).toEqual(["docker-over-ssh", ...kept]);
  });

  test("installs into a folder that the group of this user may write to, as with umask 002", async () => {
    await using far = await makeFarHome();
    await mkdir(join(far.home, ".local/bin"), { recursive: true });
    await chmod(join(far.home, ".local/bin"), 0o775);
    expect(await far.setup()).toEqual({ notes: wrote });
  });

  test.skipIf(otherGroup === undefined)("rejects a folder that another group may write to", async () => {
    await using far = await makeFarHome();
    await mkdir(join(far.home, ".local/bin"), { recursive: true });
    await chmod(join(far.home, ".local/bin"), 0o775);
    await chown(join(far.home, ".local/bin"), -1, otherGroup ?? -1);
    expect((await far.setup()).failure).toEqual({
      code: "refused",
      message: "docker-over-ssh was not installed on ssh://prod: other users may write to ~/.local/bin",
    });
    expect(await far.files()).toEqual([".local", ".local/bin"]);
  });

  test("installs a program that can set up another host itself", async () => {
    await using far = await makeFarHome();
    await using farther = await makeFarHome();
    await far.setup();
    const { stderr } = await run(far, ["setup", "--ssh", join(farther.home, "../ssh"), "ssh://farther"]);
    expect(stderr).toContain(`wrote the launcher ${join(farther.home, launcher)}\n`);
    expect((await run(farther, ["--version"])).stdout).toBe(VERSION);
  });

  test("prints no hint about PATH if PATH contains the folder", async () => {
    await using far = await makeFarHome();
    await execa`sed -i s,PATH=,PATH=${join(far.home, ".local/bin")}:, ${join(far.home, "../ssh")}`;
    expect((await far.setup()).notes.at(-1)).toBe("transfers to ssh://prod now use this installation");
  });

  test("installs into a home folder behind a link", async () => {
    await using far = await makeFarHome();
    const link = join(far.home, "../link");
    await symlink(far.home, link);
    await execa`sed -i s,HOME=${far.home},HOME=${link}, ${join(far.home, "../ssh")}`;
    expect((await far.setup()).failure).toBeUndefined();
    expect((await run(far, ["--version"])).stdout).toBe(VERSION);
    await far.setup({ uninstall: true });
    expect(await far.files()).toEqual([]);
  });

  test("installs nothing without a suitable Node", async () => {
    await using far = await makeFarHome();
    const lines = ["pass node Node 18.0.0 is too old", "nothing /bin"];
    await addProgram(
      join(far.home, ".."),
      "ssh",
      lines.map((line) => `echo "#docker-over-ssh#remote# ${line}"`).join("; "),
    );
    const { failure } = await far.setup();
    expect(failure).toMatchObject({
      code: "remote-command-not-found",
      message: expect.stringContaining("Node 18.0.0 is too old") as string,
    });
    expect(await far.files()).toEqual([]);
  });
});

describe("fails, and leaves everything unchanged:", () => {
  const refusals: [string, (home: string) => Promise<void>, RegExp][] = [
    [
      "a launcher of somebody else",
      async (home) => await addProgram(join(home, ".local/bin"), "docker-over-ssh", "exit"),
      /~\/\.local\/bin\/docker-over-ssh exists, and setup did not write it$/,
    ],
    [
      "a link in place of the launcher",
      async (home) => {
        await mkdir(join(home, ".local/bin"), { recursive: true });
        await symlink("/nowhere", join(home, launcher));
      },
      /docker-over-ssh exists, and setup did not write it$/,
    ],
    [
      "a link in place of a folder",
      async (home) => {
        await mkdir(join(home, "elsewhere"));
        await mkdir(join(home, ".local"));
        await symlink(join(home, "elsewhere"), join(home, ".local/bin"));
      },
      /~\/\.local\/bin is a link$/,
    ],
    [
      "a link in place of the folder of docker-over-ssh",
      async (home) => {
        await mkdir(join(home, "elsewhere"));
        await mkdir(join(home, ".local/share"), { recursive: true });
        await symlink(join(home, "elsewhere"), join(home, ".local/share/docker-over-ssh"));
      },
      /~\/\.local\/share\/docker-over-ssh is a link$/,
    ],
    [
      "a file in place of a folder",
      async (home) => await writeFile(join(home, ".local"), ""),
      /~\/\.local is not a folder$/,
    ],
    [
      "a folder that anybody may write to",
      async (home) => {
        await mkdir(join(home, ".local"));
        await chmod(join(home, ".local"), 0o777);
      },
      /other users may write to ~\/\.local$/,
    ],
  ];

  test.each(refusals)("%s", async (_, prepare, message) => {
    await using far = await makeFarHome();
    await prepare(far.home);
    const before = await far.files();
    expect(await far.setup()).toEqual({
      notes: [],
      failure: { code: "refused", message: expect.stringMatching(message) as string },
    });
    expect(await far.files()).toEqual(before);
  });

  test("a home folder that does not exist", async () => {
    await using far = await makeFarHome();
    await execa`sed -i s,HOME=,HOME=/nowhere, ${join(far.home, "../ssh")}`;
    expect((await far.setup()).failure).toMatchObject({ code: "refused" });
  });

  test("a full disk", async () => {
    await using far = await makeFarHome();
    // Node inherits the file size limit from the shell when it starts.
    await execa`sed -i ${"s/exec env/ulimit -f 100; exec env/"} ${join(far.home, "../ssh")}`;
    const { failure } = await far.setup();
    expect(failure).toMatchObject({ code: "no-space" });
    expect(await far.files()).toEqual([]);
  });

  test("if the bundle arrives damaged", async () => {
    await using far = await makeFarHome();
    // The remote installer expects a digest that differs from that of the sent bundle.
    const ssh = await readFile(join(far.home, "../ssh"), "utf8");
    const other = `$(echo "$*" | sed "s/${readBundle().digest}/${"0".repeat(64)}/")`;
    await writeFile(
      join(far.home, "../ssh"),
      ssh.replace("$*", () => other),
    );
    expect((await far.setup()).failure).toMatchObject({ code: "not-verified" });
    expect(await far.files()).toEqual([]);
  });
});

describe("the launcher", () => {
  test("finds another Node if the one that has installed it is gone, and reports if there is none", async () => {
    await using far = await makeFarHome();
    await far.setup();
    const text = await readFile(join(far.home, launcher), "utf8");
    await writeFile(
      join(far.home, launcher),
      text.replace(`'${process.execPath}'`, "/gone/node").replace("PATH=", "NOT="),
    );
    expect((await run(far, ["--version"])).stdout).toBe(VERSION);
    await addProgram(join(far.bin, "old"), "node", "echo v18.19.0");
    const old = await run(far, ["--version"], { PATH: join(far.bin, "old") });
    expect(old).toMatchObject({ exitCode: 127, stderr: expect.stringContaining("no Node 20.19 or later") as string });
  });

  test.each(["v20.19.0", "v20.20.1", "v21.0.0", "v22.1.0", "v24.11.1", "v30.0.0", "v100.0.0"])(
    "takes Node %s",
    async (version) => {
      expect(await takes(version)).toBe(true);
    },
  );

  test.each(["v20.18.3", "v20.9.0", "v20.2.0", "v18.20.0", "v2.19.0", "v9.0.0", ""])(
    "does not take Node %j",
    async (version) => {
      expect(await takes(version)).toBe(false);
    },
  );

  async function takes(version: string): Promise<boolean> {
    await using folder = await temporaryFolder();
    await addProgram(folder.path, "node", `[ "$1" = --version ] && echo ${version} || echo taken`);
    const file = join(folder.path, "launcher");
    const text = launcherText({ version: VERSION, node: "/gone/node", start: file });
    await writeFile(file, text.replace("PATH=", "NOT="), { mode: 0o755 });
    const { stdout } = await execa(file, { env: { PATH: folder.path }, extendEnv: false, reject: false });
    return stdout === "taken";
  }

  test("uses nvm's default, or else its newest", async () => {
    await using folder = await temporaryFolder();
    const versions = ["v20.19.0", "v22.9.0", "v22.10.0", "v24.0.0"];
    for (const version of versions) {
      const code = `[ "$1" = --version ] && echo ${version} || echo ${version} is taken`;
      await addProgram(join(folder.path, ".nvm/versions/node", version, "bin"), "node", code);
    }
    const file = join(folder.path, "launcher");
    const text = launcherText({ version: VERSION, node: "/gone/node", start: file });
    await mkdir(join(folder.path, "bin"));
    for (const tool of ["ls", "sort"]) await execa`ln -s ${(await execa`which ${tool}`).stdout} ${folder.path}/bin/`;
    await writeFile(file, text.replace("PATH=", "NOT="), { mode: 0o755 });
    const env = { HOME: folder.path, PATH: join(folder.path, "bin") };
    const taken = async () => (await execa(file, { env, extendEnv: false })).stdout;
    expect(await taken()).toBe("v24.0.0 is taken");
    await mkdir(join(folder.path, ".nvm/alias"));
    await writeFile(join(folder.path, ".nvm/alias/default"), "22\n");
    expect(await taken()).toBe("v22.10.0 is taken");
  });

  test("exits with 127, like a missing command, if docker-over-ssh itself is gone", async () => {
    await using far = await makeFarHome();
    await far.setup();
    await execa`rm -r ${join(far.home, ".local/share/docker-over-ssh")}`;
    expect((await run(far, ["--version"])).exitCode).toBe(127);
  });
});
