import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { execa } from "execa";
import { describe, expect, test } from "vitest";
import { until } from "../testbed/wait.ts";
import { bed, done, dos, rememberEngines, startDos, unchanged, untilPrinted, why } from "./bed.ts";
import { BASE, builtIn, connections, env, farProcessesWith, folder, inFarNetwork, project } from "./build-projects.ts";

const MB = 1_000_000;
/** The bytes on the wire for a context that has been sent before: digests, and messages of the protocols. */
const FEW = 20_000;

const build = async (...words: string[]): ReturnType<typeof dos> => await dos(["build", ...words], { env });
const inFar = async (...words: string[]): Promise<string> => (await bed.far.docker("run", "--rm", ...words)).stdout;
const farRuns = async (command: string): Promise<string> =>
  (await execa("pgrep", ["--full", `^${command}$`], { reject: false })).stdout;

describe.skipIf(why)(`build: a folder ${why ?? ""}`, () => {
  test.each([
    ["far", FEW],
    ["with-node", FEW],
    ["bare", undefined],
  ])("ssh://%s: builds the image under all names there; then sends only a changed file", async (host, again) => {
    const context = project({
      Dockerfile: `FROM ${BASE} AS wanted\nARG GREETING\nCOPY . /app\nRUN echo "$GREETING" >/said\nFROM wanted\nRUN exit 9\n`,
      ".gitignore": "*.log\n",
      "server.log": "ignored",
      "src/large": randomBytes(2 * MB),
      "src/main": "first",
    });
    const options = ["--target", "wanted", "--build-arg", "GREETING=hello", "--label", "of=test"];
    const words = [...options, "-t", `build-${host}:v1`, "-t", `build-${host}:latest`, context, `ssh://${host}`];
    const first = await build(...words);
    expect(first).toEqual(done);
    expect(first.stderr).toContain("files that .gitignore ignores are not sent");
    expect(connections()).toBe(1);
    expect(await inFar(`build-${host}:latest`, "sh", "-c", "cat /said /app/src/main; ls -A /app")).toBe(
      "hello\nfirst.gitignore\nDockerfile\nsrc",
    );
    const { stdout: label } = await bed.far.docker("inspect", "-f", "{{.Config.Labels.of}}", `build-${host}:v1`);
    expect(label).toBe("test");

    writeFileSync(join(context, "src/main"), "second");
    const second = await build("--json", ...words);
    expect(second).toMatchObject({ exitCode: 0 });
    if (again === undefined) expect(builtIn(second).contextBytes).toBeGreaterThan(2 * MB);
    else expect(builtIn(second).contextBytes).toBeLessThan(again);
    expect(await inFar(`build-${host}:v1`, "cat", "/app/src/main")).toBe("second");
  });

  test("--no-gitignore sends all files; -q prints the ID, --iidfile and --metadata-file write it to a file", async () => {
    const context = project({ Dockerfile: `FROM ${BASE}\nCOPY . /app\n`, ".gitignore": "x\n", x: "not ignored" });
    const [iid, metadata] = [join(folder, "iid"), join(folder, "metadata.json")];
    const options = ["-q", "--no-gitignore", "--iidfile", iid, "--metadata-file", metadata];
    const run = await build(...options, "-t", "build-all:v1", context, "ssh://far");
    const { stdout: id } = await bed.far.docker("inspect", "-f", "{{.Id}}", "build-all:v1");
    expect(run).toEqual({ ...done, stdout: id, stderr: "" });
    expect(readFileSync(iid, "utf8")).toBe(id);
    expect(JSON.parse(readFileSync(metadata, "utf8"))).toMatchObject({
      "containerimage.id": id,
      "image.name": "build-all:v1",
    });
    expect(await inFar("build-all:v1", "cat", "/app/x")).toBe("not ignored");
  });

  test("builds one project twice at the same time", async () => {
    const files = { Dockerfile: `FROM ${BASE}\nCOPY . /app\n`, large: randomBytes(MB) };
    const contexts = ["one", "two"].map((name) => project({ ...files, name }, name));
    const runs = contexts.map(async (context, index) => await build("-t", `build-both:${index}`, context, "ssh://far"));
    for (const run of await Promise.all(runs)) expect(run).toEqual(done);
    const names = [0, 1].map(async (index) => await inFar(`build-both:${index}`, "cat", "/app/name"));
    expect(await Promise.all(names)).toEqual(["one", "two"]);
  });
});

describe.skipIf(why)("build: returns the image over the same login", () => {
  test.each(["far", "bare"])("from ssh://%s with --load", async (host) => {
    const context = project({ Dockerfile: `FROM ${BASE}\nCOPY . /app\n`, host });
    const name = `build-load-${host}:v1`;
    expect(await build("--load", "-t", name, "-t", `${name}-too`, context, `ssh://${host}`)).toEqual(done);
    expect(connections()).toBe(1);
    for (const one of [name, `${name}-too`])
      expect((await bed.near.docker("run", "--rm", one, "cat", "/app/host")).stdout).toBe(host);
  });

  test.each(["far", "bare"])("from ssh://%s with --to, without a local Docker", async (host) => {
    const context = project({ Dockerfile: `FROM ${BASE}\nCOPY . /app\n`, host });
    const layout = join(folder, "images");
    const noDocker = { HOME: folder, DOCKER_CONFIG: "", DOCKER_HOST: `unix://${join(folder, "none.sock")}` };
    const script = `for one in $(which -a docker podman); do mount --bind /dev/null "$one"; done
if docker version >/dev/null 2>&1; then exit 99; fi
exec docker-over-ssh "$@"`;
    const words = ["build", "-t", `build-to-${host}:v1`, "--to", `oci:${layout}`, context, `ssh://${host}`];
    const run = await execa("unshare", ["--mount", "sh", "-c", script, "sh", ...words], {
      reject: false,
      env: { ...bed.env, ...env, ...noDocker },
    });
    expect(run).toMatchObject({ exitCode: 0 });
    expect(connections()).toBe(1);
    const index = JSON.parse(readFileSync(join(layout, "index.json"), "utf8")) as {
      manifests: { annotations: object }[];
    };
    expect(index.manifests).toEqual([
      expect.objectContaining({
        annotations: expect.objectContaining({ "org.opencontainers.image.ref.name": `build-to-${host}:v1` }) as object,
      }),
    ]);
  });
});

test.skipIf(why).each(["far", "bare"])(
  "build: an archive on stdin, and a step that may have a secret, ssh://%s",
  async (host) => {
    const optional = "RUN --mount=type=secret,id=none test ! -e /run/secrets/none\n";
    const context = project({ Dockerfile: `FROM ${BASE}\nCOPY f /f\n${optional}`, f: "from the archive" });
    const script = `tar -cz -C ${context} . | docker-over-ssh build -t build-stdin:${host} - ssh://${host}`;
    const run = await execa("sh", ["-c", script], { reject: false, env: { ...bed.env, ...env } });
    expect(run).toMatchObject({ exitCode: 0 });
    expect(await inFar(`build-stdin:${host}`, "cat", "/f")).toBe("from the archive");
  },
);

test.skipIf(why)("build: the remote engine clones a git repository that only its machine reaches", async () => {
  const repository = project({ Dockerfile: `FROM ${BASE}\nCOPY f /f\n`, f: "from git" });
  const commit = "git init -q -b main && git add . && git -c user.name=t -c user.email=t@localhost commit -q -m one";
  await execa("sh", ["-c", commit], { cwd: repository, env: { ...bed.env, GIT_CONFIG_NOSYSTEM: "1" } });
  const daemon = ["git", "daemon", "--verbose", "--export-all", "--listen=127.0.0.1", `--base-path=${folder}`];
  await using _ = await inFarNetwork([...daemon, folder], "Ready to rumble");
  const address = (path: string): string => `git://127.0.0.1/${path}#main`;
  expect(await build("-t", "build-git:v1", address("project/.git"), "ssh://far")).toEqual(done);
  expect(await inFar("build-git:v1", "cat", "/f")).toBe("from git");
  const none = await build("-t", "build-git:none", address("none"), "ssh://bare");
  expect(none).toMatchObject({ exitCode: 15 });
  expect(none.stderr).toContain("access denied or repository not exported: /none");
});

describe.skipIf(why)("build: fails", () => {
  test.each(["far", "bare"])("ssh://%s: prints a failed step with its lines", async (host) => {
    const context = project({ Dockerfile: `FROM ${BASE}\nRUN echo first\nRUN echo last words; exit 3\n` });
    const run = await build("-t", "build-failed:v1", context, `ssh://${host}`);
    expect(run).toMatchObject({ exitCode: 15 });
    expect(run.stderr).toMatch(
      /docker-over-ssh: .*the build failed at \[3\/3\] RUN echo last words; exit 3: exit code 3\n/,
    );
    expect(run.stderr).toMatch(/\n > \[3\/3\] RUN echo last words; exit 3:\n[\d.]+ last words\n/);
    expect(run.stderr).toContain(">>> RUN echo last words; exit 3\n");
    expect(run.stderr).toMatch(/Its last lines:\s+(?:\| +)?last words$/);
  });

  const dockerfile = `FROM ${BASE}\n`;
  const files = {
    "other/Dockerfile": dockerfile,
    "empty/.gitignore": "*",
    "unbased/Dockerfile": "FROM build.invalid/none:v1\n",
  };
  test.each<[string, number, string, string[]]>([
    ["no Dockerfile", 17, "there is no Dockerfile in ", ["."]],
    ["nothing in the folder", 16, "is empty: there is nothing to build", ["empty"]],
    ["no such folder", 16, "does not exist", ["none"]],
    ["a Dockerfile outside", 17, "is outside the context", ["-f", "other/Dockerfile", "empty"]],
    ["a base that is nowhere", 15, "the base build.invalid/none:v1 cannot be pulled from build.invalid", ["unbased"]],
    ["an option that is not known", 2, "unknown option '--output'", ["--output", "x", "other"]],
    ["a secret that is not there", 2, "none.txt", ["--secret", "id=x,src=none.txt", "other"]],
    ["an ssh agent that is not there", 2, "SSH_AUTH_SOCK is not set", ["--ssh", "default", "other"]],
  ])("%s: %i", async (_, exitCode, message, words) => {
    const cwd = project(files);
    const args = ["build", "-t", "build-no:v1", ...words, "ssh://far"];
    const run = await execa("docker-over-ssh", args, {
      cwd,
      reject: false,
      env: { ...bed.env, ...env, SSH_AUTH_SOCK: "" },
    });
    expect(run).toMatchObject({ exitCode });
    expect(run.stderr).toContain(message);
  });
});

describe.skipIf(why)("build: provides the user's secrets and ssh agents", () => {
  test.each(["far", "bare"])(
    "ssh://%s: to the step alone; Ctrl-C ends the step and leaves nothing behind",
    async (host) => {
      const [secret, variable] = [`build-secret-of-${host}`, `build-variable-of-${host}`];
      const context = project({
        Dockerfile: `FROM ${BASE} AS checked
RUN --mount=type=secret,id=file --mount=type=secret,id=variable --mount=type=ssh \\
  test "$(cat /run/secrets/file)" = ${secret.replaceAll("-", "''-")} && cat /run/secrets/variable | wc -c && ssh-add -l
FROM checked
RUN --mount=type=secret,id=file echo begins; sleep 7351
`,
      });
      const key = join(folder, "key");
      const agentSocket = join(folder, "agent");
      await execa`ssh-keygen -q -t ed25519 -N ${""} -C build-key -f ${key}`;
      await using _ = await startAgent(agentSocket);
      const own = { ...env, SSH_AUTH_SOCK: agentSocket, BUILD_TOKEN: variable };
      await execa({ env: own })`ssh-add ${key}`;
      writeFileSync(join(folder, "token"), secret);
      const named = ["--secret", `id=file,src=${join(folder, "token")}`, "--secret", "id=variable,env=BUILD_TOKEN"];
      const words = ["build", ...named, "--ssh", "default", "-t", `build-secret-${host}:v1`, context, `ssh://${host}`];
      const since = await rememberEngines(bed.far);
      const run = startDos(words, { env: own });
      await untilPrinted(run, " begins\n");
      for (const value of [secret, variable]) {
        expect(farProcessesWith(value)).toEqual([]);
        const grep = ["ssh", ["far", `grep -rlF ${value} "$HOME"`]] as const;
        expect(await execa(...grep, { env: bed.env, reject: false })).toMatchObject({ exitCode: 1, stdout: "" });
      }
      run.kill("SIGINT");
      const { exitCode, stderr } = await run;
      expect(exitCode).toBe(130);
      expect(stderr).toContain(` ${variable.length}\n`);
      expect(stderr).toContain("build-key (ED25519)");
      expect(stderr).not.toContain(secret);
      await until("the step has ended", async () => (await farRuns("sleep 7351")) === "");
      expect(await since()).toEqual(unchanged(1));

      const next = await dos(["build", "--target", "checked", ...words.slice(1)], { env: own });
      expect(next).toEqual(done);
      const { stdout: history } = await bed.far.docker("history", "--no-trunc", `build-secret-${host}:v1`);
      const { stdout: config } = await bed.far.docker("inspect", `build-secret-${host}:v1`);
      for (const value of [secret, variable]) expect(history + config + next.stderr).not.toContain(value);
    },
  );
});

describe.skipIf(why)("build: the link is cut while the context is sent", () => {
  test("exits with 9; the next run sends only the missing bytes", async () => {
    const files = Array.from({ length: 20 }, (_, index) => [`part-${index}`, randomBytes(MB)] as const);
    const context = project({ Dockerfile: `FROM ${BASE}\nCOPY . /app\n`, ...Object.fromEntries(files) });
    const pid = join(folder, "pid");
    const ssh = `#!/bin/sh\necho $$ >${pid}\nexec ${join(bed.bin, "ssh")} "$@"\n`;
    writeFileSync(join(folder, "bin/ssh"), ssh, { mode: 0o755 });
    const words = ["-t", "build-cut:v1", context, "ssh://far"];
    const wire = await bed.countWire();
    const run = startDos(["build", "--bwlimit", "8m", ...words], { env });
    await until("most of the context is sent", async () => (await wire()).toFar > 12 * MB || run.exitCode !== null);
    process.kill(Number(readFileSync(pid, "utf8")), "SIGKILL");
    expect(await run).toMatchObject({ exitCode: 9 });
    const next = await build("--json", ...words);
    expect(next).toMatchObject({ exitCode: 0 });
    expect(builtIn(next).contextBytes).toBeLessThan(14 * MB);
    expect(builtIn(next).contextBytes).toBeGreaterThan(MB);
    expect(await inFar("build-cut:v1", "sh", "-c", "ls /app | wc -l")).toBe("21");
  });
});

async function startAgent(socket: string): Promise<AsyncDisposable> {
  const agent = execa({ reject: false })`ssh-agent -D -a ${socket}`;
  await until("the ssh agent listens", () => existsSync(socket));
  return {
    async [Symbol.asyncDispose]() {
      agent.kill();
      await agent;
    },
  };
}
