import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { doctorCommand, type DoctorOptions } from "../../../src/commands/doctor.ts";
import { lookingBlocks } from "../../../src/doctor/check-script.ts";
import { Failure } from "../../../src/output/errors.ts";
import type { Finding } from "../../../src/output/findings.ts";
import { outputTo } from "../../../src/output/output.ts";
import { VERSION } from "../../../src/version.ts";
import { addProgram, makeFarHome, type FarHome } from "../remote/setup/far-home.ts";

/** Runs `docker-over-ssh doctor ssh://prod` where no engine is on this side. Returns the findings, and the failure. */
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

/** A docker whose engine answers, with the image for a container if `image` says so, and that keeps a log. */
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
  test("a host that tells an impossible number of free bytes is no bug here", async () => {
    await using far = await makeFarHome();
    await addProgram(far.bin, "docker", docker("/dev/null"));
    await addProgram(far.bin, "df", `echo; echo none 1 1 ${"9".repeat(400)} 1% /`);
    const { there, failure } = await examine(far);
    expect(failure.code).toBe("engine-unreachable"); // the one of this side
    expect(there).toMatchObject({ cache: { state: "ok" } });
  });

  test("tells what a host has, which program a transfer would use, and changes nothing there", async () => {
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

  test("names who may use the engine, and the command for it", async () => {
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
    "looks for the image of a container (there: %s), and neither pulls it nor starts one",
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
  ])("compares the version of what is installed there: %s is %s", async (version, state) => {
    await using far = await makeFarHome();
    await addProgram(far.bin, "docker-over-ssh", `echo ${version}`);
    const { there } = await examine(far);
    expect(there["docker-over-ssh"]).toMatchObject({ state, text: expect.stringContaining(version) });
    expect(there["program"]?.text).toBe(`the docker-over-ssh that is installed there: ${far.bin}/docker-over-ssh`);
  });

  test("an installed docker-over-ssh that does not run is missing", async () => {
    await using far = await makeFarHome();
    await addProgram(far.bin, "docker-over-ssh", "echo no such Node >&2; exit 3");
    const { there } = await examine(far);
    expect(there["program"]).toMatchObject({ state: "missing", text: expect.stringContaining("no such Node") });
  });

  test("warns of a login shell that prints", async () => {
    await using far = await makeFarHome();
    const ssh = join(far.home, "../ssh");
    await writeFile(ssh, (await readFile(ssh, "utf8")).replace("exec env", "echo welcome; exec env"));
    const { there } = await examine(far);
    expect(there["login"]).toMatchObject({ state: "warning", text: expect.stringContaining("welcome") });
  });

  test("a login that fails is all that it tells of the host", async () => {
    await using far = await makeFarHome();
    const { there } = await examine(far, { ssh: ["false"] });
    expect(Object.entries(there)).toMatchObject([["login", { state: "missing", code: "engine-unreachable" }]]);
  });

  test("on this side, tells of the engine, the codecs and the cache folder", async () => {
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

test("the blocks that look keep the rules of the script's other blocks", () => {
  const blocks = lookingBlocks("node-sent").trim().split("\n");
  for (const block of blocks) expect(block).not.toMatch(/['\\!]/);
});
