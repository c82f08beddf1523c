import { chmod, mkdir, mkdtemp, readdir, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import { setupCommand, type SetupOptions } from "../../../../src/commands/setup.ts";
import { Failure } from "../../../../src/output/errors.ts";
import { outputTo } from "../../../../src/output/output.ts";
import { noteText } from "../../../../src/output/texts.ts";

/**
 * A remote side in a folder: a home folder, a folder in PATH with a docker that only writes a log, and an `ssh` that connects to this remote
 * side.
 */
export interface FarHome extends AsyncDisposable {
  home: string;
  /** The folder in PATH. */
  bin: string;
  env: Record<string, string>;
  /** Runs `docker-over-ssh setup`. Returns its messages, with `~` for the home folder, and its failure. */
  setup(options?: SetupOptions): Promise<{ notes: string[]; failure?: Pick<Failure, "code" | "message"> }>;
  /** Returns all paths in the home folder. */
  files(): Promise<string[]>;
}

export async function makeFarHome({ shell = "sh" }: { shell?: string } = {}): Promise<FarHome> {
  const folder = await mkdtemp(join(tmpdir(), "dos-setup-"));
  const home = join(folder, "home");
  const bin = join(folder, "bin");
  await mkdir(home);
  await mkdir(bin);
  const env = { PATH: `${bin}:/usr/bin:/bin`, HOME: home, LC_ALL: "C" };
  await symlink(process.execPath, join(bin, "node"));
  await addProgram(bin, "docker", "exit 0");
  const vars = Object.entries(env).map(([name, value]) => `${name}=${value}`);
  // Other tests, and the user of this machine, may have folders for Node in the folders for temporary files.
  const line = `$(printf %s "$*" | sed "s, /dev/shm /tmp /var/tmp,,")`;
  const ssh = `while [ "$1" != -- ]; do shift; done; shift 2; exec env -i ${vars.join(" ")} ${shell} -c "${line}"`;
  await addProgram(folder, "ssh", ssh);
  const hide = (text: string) => text.replaceAll(home, "~");
  return {
    home,
    bin,
    env,
    async setup(options = {}) {
      const notes: string[] = [];
      const output = outputTo((event) => {
        if (event.type === "note") notes.push(hide(noteText(event)));
      });
      const job = await setupCommand.toJob(["ssh://prod"], { ssh: [join(folder, "ssh")], ...options }, {});
      try {
        await job.run({ output, signal: new AbortController().signal, env: process.env });
        return { notes };
      } catch (error) {
        if (!(error instanceof Failure)) throw error;
        return { notes, failure: { code: error.code, message: hide(error.message) } };
      }
    },
    files: async () => (await readdir(home, { recursive: true })).toSorted(),
    [Symbol.asyncDispose]: async () => {
      await execa`chmod -R u+w ${folder}`;
      await rm(folder, { recursive: true });
    },
  };
}

export async function addProgram(folder: string, name: string, code: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, name), `#!/bin/sh\n${code}\n`);
  await chmod(join(folder, name), 0o755);
}
