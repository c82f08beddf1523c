import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { doctorCommand, type DoctorOptions } from "../../../src/commands/doctor.ts";
import { inspectionBlocks } from "../../../src/doctor/check-script.ts";
import { Failure } from "../../../src/output/errors.ts";
import type { Finding } from "../../../src/output/finding-lines.ts";
import { outputTo } from "../../../src/output/output.ts";
import { VERSION } from "../../../src/version.ts";
import { addProgram, makeFarHome, type FarHome } from "../remote/setup/far-home.ts";

/** Runs `docker-over-ssh doctor ssh://prod` without a local engine. Returns the findings and the failure. */
async function examine(far: FarHome, options: DoctorOptions = {}) {
  const findings: Finding[] = [];
  const output = outputTo((event) => {
    if (event.type === "note" && event.code === "checked") findings.push(event.finding);
  });
  const env = { HOME: far.home, DOCKER_HOST: "unix:///nowhere.sock" };
  const job = await doctorCommand.toJob(["ssh://prod"], { ssh: [join(far.home, "../ssh")], ...options }, env);
  const failure: unknown = await job
    .run({ output, signal: new AbortController().signal, env })
    .catch((error: unknown) => error);
  if (!(failure instanceof Failure)) expect.fail(`no engine is here: ${String(failure)}`);
  const there = findings
    .filter(({ side }) => side === "there")
    .map(({ check, ...finding }) => [check, finding] as const);
  return { here: findings.filter(({ side }) => side === "here"), there: Object.fromEntries(there), failure };
}

/** Creates a docker that writes a log, and whose engine answers. `image`: the engine has the image for a container. */
const docker = (log: string, image = false) => `echo "$*" >> ${log}
case "$*" in
  *Server.Version*) echo 28.5.2 ;;
  *Server.APIVersion*) echo 1.51 ;;
  *Server.Os*) echo linux/amd64 ;;
  *DockerRootDir*) echo / ;;
  "context inspect"*) [ -S /var/run/docker.sock ] && echo unix:///var/run/docker.sock || echo tcp://other:2375 ;;
  "image inspect"*) ${image ? "echo linux/amd64" : "exit 1"} ;;
  "system dial-stdio") cat ;;
esac`;

describe("doctor", () => {
  test("a host that reports an impossible number of free bytes causes no internal error", async () => {
    await using far = await makeFarHome();
    await addProgram(far.bin, "docker", docker("/dev/null"));
    await addProgram(far.bin, "df", `echo; echo none 1 1 ${"9".repeat(400)} 1% /`);
    const { there, failure } = await examine(far);
    expect(failure.code).toBe("engine-unreachable"); // the failure of this side
    expect(there).toMatchObject({ cache: { state: "ok" } });
  });

  test("reports the programs of a host and the one that a transfer would use, and changes nothing on the host", async () => {
    await using far = await makeFarHome();
    const log = join(far.home, "../log");
    await addProgram(far.bin, "docker", docker(log));
    const { there, failure } = await examine(far);
    expect(there).toMatchObject({
      login: { state: "ok", text: expect.stringMatching(/^as \w+, Linux /) },
      "docker-over-ssh": { state: "ok" },
      node: { state: "ok", text: expect.stringContaining(`${process.version}, ${far.bin}/node`) },
      engine: { state: "ok", text: `28.5.2, by ${far.bin}/docker` },
      cache: { state: "ok", text: expect.stringContaining(`${far.home}/.cache/docker-over-ssh; `) },
      program: { state: "ok", text: expect.stringMatching(/^the Node there, .*\(installed: not found\)$/) },
    });
    expect(failure.code).toBe("engine-unreachable");
    expect(failure.message).toBe("1 check failed: engine here");
    expect(await far.files()).toEqual([]);
    expect(await readFile(log, "utf8")).not.toMatch(/^(?:pull|run|rm)/m);
  });

  test("suggests --sudo or the group to a user who may not use the engine", async () => {
    await using far = await makeFarHome();
    await addProgram(
      far.bin,
      "docker",
      `echo "permission denied while trying to connect to the Docker daemon socket" >&2; exit 1`,
    );
    await addProgram(far.bin, "sudo", "exit 0");
    const { there, failure } = await examine(far);
    expect(there["engine"]).toMatchObject({ state: "missing", code: "engine-unreachable" });
    expect(there["engine"]?.toDo).toMatch(/^Add --sudo, .*sudo usermod -aG docker \w+/);
    expect(failure.message).toBe("2 checks failed: engine here, engine there");
  });

  test.each([
    [true, "ok", /^a container there, .* of node:\S+/],
    [false, "warning", /can pull node:/],
  ])(
    "looks for the image of a container (present: %s), without pulling it or starting a container",
    async (image, state, text) => {
      await using far = await makeFarHome();
      const log = join(far.home, "../log");
      await addProgram(
        far.bin,
        "docker",
        docker(log, image).replace("tcp://other:2375", "unix:///var/run/docker.sock"),
      );
      const { there } = await examine(far, { far: "container" });
      expect(there["program"]).toMatchObject({ state, text: expect.stringMatching(text) });
      expect(await readFile(log, "utf8")).not.toMatch(/^(?:pull|run|rm)/m);
      expect(await far.files()).toEqual([]);
    },
  );

  test.each([
    [VERSION, "ok"],
    ["0.0.1", "warning"],
  ])("compares the version of the installed docker-over-ssh: %s is %s", async (version, state) => {
    await using far = await makeFarHome();
    await addProgram(far.bin, "docker-over-ssh", `echo ${version}`);
    const { there } = await examine(far);
    expect(there["docker-over-ssh"]).toMatchObject({ state, text: expect.stringContaining(version) });
    expect(there["program"]?.text).toBe(`the docker-over-ssh that is installed there: ${far.bin}/docker-over-ssh`);
  });

  test("reports an installed docker-over-ssh that does not run as missing", async () => {
    await using far = await makeFarHome();
    await addProgram(far.bin, "docker-over-ssh", "echo no such Node >&2; exit 3");
    const { there } = await examine(far);
    expect(there["program"]).toMatchObject({ state: "missing", text: expect.stringContaining("no such Node") });
  });

  test("suggests to omit --far if the chosen program cannot be used", async () => {
    await using far = await makeFarHome();
    const { there } = await examine(far, { far: "installed" });
    expect(there["program"]).toMatchObject({
      state: "missing",
      toDo: "Install Docker there; or omit --far, and unset DOCKER_OVER_SSH_FAR.",
    });
  });

  test("warns of a login shell that prints", async () => {
    await using far = await makeFarHome();
    const ssh = join(far.home, "../ssh");
    await writeFile(ssh, (await readFile(ssh, "utf8")).replace("exec env", "echo welcome; exec env"));
    const { there } = await examine(far);
    expect(there["login"]).toMatchObject({ state: "warning", text: expect.stringContaining("welcome") });
  });

  test("reports only the login if it fails", async () => {
    await using far = await makeFarHome();
    const { there } = await examine(far, { ssh: ["false"] });
    expect(Object.entries(there)).toMatchObject([["login", { state: "missing", code: "engine-unreachable" }]]);
  });

  test("reports the local engine, codecs and cache folder", async () => {
    await using far = await makeFarHome();
    const { here } = await examine(far, { ssh: ["false"] });
    expect(here.map(({ check, state }) => [check, state])).toEqual([
      ["node", "ok"],
      ["codecs", expect.stringMatching(/ok|warning/)],
      ["engine", "missing"],
      ["cache", expect.stringMatching(/ok|warning/)],
      ["terminal", "ok"],
    ]);
  });
});

test("the blocks that inspect the host follow the rules of the other blocks of the script", () => {
  const blocks = inspectionBlocks("node-sent").trim().split("\n");
  for (const block of blocks) expect(block).not.toMatch(/['\\!]/);
});
