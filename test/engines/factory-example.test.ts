import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { buildImage } from "../testbed/build-image.ts";
import { PROGRAMS, startLoginHost, type LoginHost } from "../testbed/login-host.ts";
import { tar, fileEntry, type TarEntry } from "../testbed/tar.ts";
import { until } from "../testbed/wait.ts";
import { makeZip } from "../unit/build-context/archive/make-zip.ts";
import { bed, why } from "./bed.ts";

const BASE = "factory-base:v1";
/** A registry on the far machine. */
const REGISTRY = "127.0.0.1:5055";
const example = (name: string): string => join(import.meta.dirname, "../../examples/factory", name);

let host: LoginHost;
let folder: string;

/** Returns the command that setup.sh writes into authorized_keys; the account there has no docker-over-ssh in its PATH. */
async function forcedCommand(): Promise<string> {
  const programs = {
    id: "",
    useradd: "",
    getent: `echo factory:x:1:1::${folder}:/bin/sh`,
    install: `mkdir -p ${folder}/.ssh`,
    chown: "",
  };
  mkdirSync(join(folder, "bin"));
  for (const [name, code] of Object.entries(programs)) {
    writeFileSync(join(folder, "bin", name), `#!/bin/sh\n${code}\n`, { mode: 0o755 });
  }
  writeFileSync(join(folder, "key.pub"), "ssh-ed25519 AAAA someone\n");
  const env = { ALLOW: "factory-team/*", REGISTRY, PATH: `${join(folder, "bin")}:${bed.env["PATH"]}` };
  await execa({ env })`${example("setup.sh")} ${join(folder, "key.pub")}`;
  const line = readFileSync(join(folder, ".ssh/authorized_keys"), "utf8");
  const [, command = ""] = /^restrict,command="([^"]+)" ssh-ed25519 AAAA someone\n$/.exec(line) ?? [];
  return `${command.replace(/^docker-over-ssh/, PROGRAMS["docker-over-ssh"])} --base ${BASE}`;
}

beforeAll(async () => {
  if (why) return;
  folder = mkdtempSync(join(tmpdir(), "dos-factory-"));
  await buildImage(bed.far, BASE);
  const { stdout: id } = await bed.near.docker("inspect", "--format", "{{.Id}}", "registry:2");
  expect(id).toMatch(/^sha256:/);
  await execa({ env: bed.env, shell: true })`docker-over-ssh push registry:2 ssh far "docker-over-ssh pull registry:2"`;
  await bed.far.docker("run", "--detach", "--name", "factory-registry", "--publish", `${REGISTRY}:5000`, "registry:2");
  host = await startLoginHost(bed, [{ name: "factory", forced: await forcedCommand() }, { name: "admin" }]);
  await until("the registry answers", async () => {
    const script = `fetch("http://${REGISTRY}/v2/").then(({ ok }) => process.exit(ok ? 0 : 1), () => process.exit(1))`;
    const { exitCode } = await execa({
      env: host.env,
      reject: false,
    })`ssh -l admin login ${`${PROGRAMS.node}/node -e '${script}'`}`;
    return exitCode === 0;
  });
}, 300_000);

afterAll(async () => {
  if (why) return;
  await host?.[Symbol.asyncDispose]();
  await bed.far.docker("rm", "--force", "--volumes", "factory-registry");
  const { stdout } = await bed.far.docker("images", "--format", "{{.Repository}}:{{.Tag}}");
  const own = stdout.split("\n").filter((name) => /factory-|^registry:2$/.test(name));
  await bed.far.docker("rmi", "--force", ...own);
  rmSync(folder, { recursive: true });
});

/** Sends an archive to the factory, which needs only ssh. */
async function send(command: string, archive: Iterable<Uint8Array> | Uint8Array) {
  return await execa("ssh", ["-l", "factory", "login", command], {
    env: host.env,
    input: Buffer.concat(archive instanceof Uint8Array ? [archive] : [...archive]),
    reject: false,
  });
}

const treeOf = (files: Record<string, string>, mode = 0o644): Iterable<Uint8Array> =>
  tar(Object.entries(files).map(([path, text]): TarEntry => fileEntry(path, text, mode)));

const outputOf = async (name: string): Promise<string> => (await bed.far.docker("run", "--rm", name)).stdout;

const dockerfile = { Dockerfile: `FROM ${BASE}\nRUN echo made > /made\nCMD ["cat", "/made"]\n` };
const scripts = {
  "build.sh": "#!/bin/sh\ncat name.txt > greeting.txt\necho built by a script\n",
  "name.txt": "factory\n",
  "run.sh": "#!/bin/sh\necho hello, $(cat /app/greeting.txt)\n",
};

describe.skipIf(why)(`examples/factory ${why ?? ""}`, () => {
  test("builds and publishes a tree with a Dockerfile, and reports the image on stdout", async () => {
    const built = await send("factory-team/app:v1", treeOf(dockerfile));
    expect(built.stderr).toContain("RUN echo made > /made");
    expect(built.stdout).toMatch(
      new RegExp(
        [
          "^name: docker\\.io/factory-team/app:v1",
          `name: ${REGISTRY.replaceAll(".", "\\.")}/factory-team/app:v1`,
          "image ID: sha256:[0-9a-f]{64}",
          "digest: sha256:[0-9a-f]{64}",
          "size: \\d+ \\(.+\\)",
          "seconds: \\d+\\.\\d$",
        ].join("\n"),
      ),
    );
    expect(built.exitCode).toBe(0);
    expect(await outputOf("factory-team/app:v1")).toBe("made");
    await bed.far.docker("pull", `${REGISTRY}/factory-team/app:v1`);
  });

  test("builds a zip with build.sh and run.sh from the base", async () => {
    const zip = makeZip(Object.entries(scripts).map(([name, content]) => ({ name, content })));
    const built = await send("docker-over-ssh build --stdin factory-team/scripts:v1", zip);
    expect(built.stderr).toContain("built by a script");
    expect(built).toMatchObject({ exitCode: 0, stdout: expect.stringContaining("digest: ") as string });
    expect(await outputOf("factory-team/scripts:v1")).toBe("hello, factory");
  });

  test.each([
    ["one script alone", "factory-team/no:v1", treeOf({ "build.sh": "#!/bin/sh\n" }), 17, "and no run.sh"],
    ["a folder around it", "factory-team/no:v1", treeOf({ "app-1/Dockerfile": "" }), 17, "Use --strip 1"],
    ["no archive", "factory-team/no:v1", Buffer.from("hello"), 16, "the input on stdin is not an archive"],
    ["nothing", "factory-team/no:v1", Buffer.alloc(0), 16, "there is no archive on stdin"],
    ["a path that leads out", "factory-team/no:v1", treeOf({ ...dockerfile, "../x": "" }), 16, "leads out of it"],
    [
      "a step that fails",
      "factory-team/no:v1",
      treeOf({ Dockerfile: `FROM ${BASE}\nRUN echo the reason; false\n` }),
      15,
      "the reason",
    ],
  ])("rejects %s", async (_, command, archive, status, text) => {
    const refused = await send(command, archive);
    expect(refused.stderr).toContain(text);
    expect(refused).toMatchObject({ exitCode: status, stdout: "" });
    await expect(bed.far.docker("image", "inspect", "factory-team/no:v1")).rejects.toThrow("No such image");
  });

  test.each([
    ["a name of another team", "other-team/app:v1"],
    ["a shell", "sh"],
    ["a second command", "factory-team/app:v2; touch /tmp/factory-was-here"],
    ["a substitution", "factory-team/app:$(touch /tmp/factory-was-here)"],
    ["a second line", "factory-team/app:v2\ntouch /tmp/factory-was-here"],
    ["quotes", "'factory-team/app:v2'"],
    ["a policy of its own", "docker-over-ssh build --forced --allow ** --stdin other-team/app"],
    ["another engine", "factory-team/app:v2 --host tcp://127.0.0.1:2375"],
    ["a Dockerfile outside", "factory-team/app:v2 -f ../../etc/passwd"],
    ["another registry", "factory-team/app:v2 --push other.example.com"],
    ["the tunnel", "docker-over-ssh build"],
    ["another command of the program", "docker-over-ssh list"],
  ])("prevents an escape from the account: %s", async (_, command) => {
    const refused = await send(command, treeOf(dockerfile));
    expect(refused).toMatchObject({ exitCode: 13, stdout: "" });
    expect(refused.stderr.split("\n")[0]).toMatch(/^docker-over-ssh: /);
    const { stdout } = await execa({ env: host.env })`ssh -l admin login ${"ls /tmp"}`;
    expect(stdout).not.toContain("factory-was-here");
  });

  // The files of the six trees have the same size and time. An engine that compares only these builds the first tree six times.
  test("removes older images: six builds leave five", async () => {
    for (let version = 1; version <= 6; version += 1) {
      const tree = treeOf({ Dockerfile: `FROM ${BASE}\nLABEL version=${version}\n` });
      const built = await send(`factory-team/kept:v${version}`, tree);
      expect(built).toMatchObject({ exitCode: 0, stderr: expect.not.stringContaining("removed") as string });
      if (version === 6) expect(built.stdout).toContain("removed: factory-team/kept:v1");
    }
    const { stdout } = await bed.far.docker("images", "--format", "{{.Tag}}", "factory-team/kept");
    expect(stdout.split("\n").toSorted()).toEqual(["v2", "v3", "v4", "v5", "v6"]);
  });

  test("ends the build of a client that disconnects", async () => {
    const tree = treeOf({ Dockerfile: `FROM ${BASE}\nRUN echo begun; while :; do echo tick; sleep 0.2; done\n` });
    const client = execa("ssh", ["-l", "factory", "login", "factory-team/gone:v1"], {
      env: host.env,
      input: Buffer.concat([...tree]),
      reject: false,
    });
    let seen = "";
    client.stderr.on("data", (chunk: Buffer) => (seen += chunk.toString()));
    await until("the step runs", () => seen.includes("tick"), { explain: () => seen });
    client.kill("SIGKILL");
    await client;
    // The lock of the name is free: its next build does not wait for ever.
    expect(await send("factory-team/gone:v1", treeOf(dockerfile))).toMatchObject({ exitCode: 0 });
  });

  test("the git hook builds the tree that is pushed to the branch", async () => {
    const git = async (...words: string[]) =>
      await execa("git", ["-c", "user.name=x", "-c", "user.email=x@example.com", ...words], {
        cwd: folder,
        env: host.env,
      });
    await git("init", "--quiet", "--bare", "server.git");
    writeFileSync(join(folder, "server.git/hooks/post-receive"), readFileSync(example("post-receive")), {
      mode: 0o755,
    });
    await git("-C", "server.git", "config", "factory.host", "factory@login");
    await git("-C", "server.git", "config", "factory.image", "factory-team/hook");
    await git("init", "--quiet", "-b", "main", "work");
    writeFileSync(join(folder, "work/Dockerfile"), dockerfile.Dockerfile);
    await git("-C", "work", "add", "Dockerfile");
    await git("-C", "work", "commit", "--quiet", "--message", "first");
    const { stderr } = await git("-C", "work", "push", "--quiet", "../server.git", "main");
    const { stdout: commit } = await git("-C", "work", "rev-parse", "--short=12", "HEAD");
    expect(stderr).toContain(`name: docker.io/factory-team/hook:${commit}`);
    expect(await outputOf(`factory-team/hook:${commit}`)).toBe("made");
  });
});
