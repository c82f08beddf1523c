import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { once } from "node:events";
import { createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import { afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { buildImage } from "../testbed/build-image.ts";
import { bed, done, dos, isOfBed, rememberEngines, startDos, unchanged, untilPrinted, why } from "./bed.ts";

/** A sleep that no other process sleeps, so that one left behind is found. */
const SLEEP = "exec sleep 1000.753";
const OVER_SSH = ["ssh", "far", "docker-over-ssh pull failing:v1"];

let folder: string;
let changes: () => Promise<unknown>;
/** What has arrived of layers may wait to be continued: the transfer is stopped, or its link breaks. */
let mayKeep: boolean;

beforeAll(async () => {
  if (why) return;
  await buildImage(bed.near, "failing:v1", [{ name: "data", bytes: 8_000_000, files: 4 }]);
});

beforeEach(async () => {
  if (why) return;
  folder = mkdtempSync(join(tmpdir(), "dos-failures-"));
  changes = await rememberEngines(bed.near, bed.far);
  mayKeep = false;
});

/** Whatever went wrong, neither engine holds more than before, and no process that was started is there. */
afterEach(async () => {
  if (why) return;
  await bed.limitRate(undefined);
  rmSync(folder, { recursive: true });
  // A far side that lost its link tidies up on its own account, and may need a moment longer than the near one.
  await expect.poll(processesOfBed, { timeout: 20_000 }).toEqual([]);
  expect(await changes()).toEqual(unchanged(2));
  expect(spoolsOfBed().filter((path) => !(mayKeep && KEPT.test(path)))).toEqual([]);
  rmSync(join(bed.folder, "far", CACHE, "kept"), { recursive: true, force: true });
});

const CACHE = "home/.cache/docker-over-ssh";
/** On the receiving machine, and let go of: no run is at it any more. */
const KEPT = /^far\/kept(?:\/[0-9a-f]{64})?$/;

/** Files and folders with layers that were on their way, in the home folders of both machines. The compiled command may stay. */
function spoolsOfBed(): string[] {
  return ["near", "far"].flatMap((machine) => {
    const cache = join(bed.folder, machine, CACHE);
    const names = existsSync(cache) ? readdirSync(cache, { recursive: true, encoding: "utf8" }) : [];
    return names.filter((name) => !/^code(?:$|\/)/.test(name)).map((name) => join(machine, name));
  });
}

/** Of all that our command lines start, what is still there; other test beds on this machine have theirs. */
async function processesOfBed(): Promise<string[]> {
  const { stdout } = await execa({ reject: false })`pgrep -fa ${"sleep 1000.753|docker-over-ssh.js (push|pull)"}`;
  return stdout.split("\n").filter((line) => line !== "" && isOfBed(line.split(" ")[0] ?? ""));
}

const hello = (fields: object): string => `#docker-over-ssh#tunnel#\\n${JSON.stringify(fields)}\\n`;

describe.skipIf(why)(`a command line that is wrong is told before anything is started ${why ?? ""}`, () => {
  test.each<[string, string[], string]>([
    ["an invalid reference", ["push", "App:v1"], "must be in lower case"],
    ["an image ID for a name", ["pull", "ab".repeat(32)], "is an image ID, and the image needs a name"],
    ["an engine address that is none", ["push", "-H", "ftp://x", "failing:v1"], "ftp://x (-H)"],
    ["the same to receive", ["pull", "-H", "ftp://x", "failing:v1"], "ftp://x (-H)"],
    ["a registry that is none", ["push", "--registry", "x:y", "failing:v1"], "--registry x:y names no registry"],
  ])("%s", async (_, words, message) => {
    const started = join(folder, "started");
    const run = await dos([...words, "touch", started]);
    expect(run).toMatchObject({ exitCode: 2, stdout: "" });
    expect(run.stderr).toContain(message);
    expect(run.stderr).toMatch(/^ {2}expected: .+\n {2}to do: {4}.+/m);
    expect(existsSync(started)).toBe(false);
  });
});

describe.skipIf(why)("what is not here is told, and nothing is said to a remote command that runs already", () => {
  const said = (): string => join(folder, "said");
  /** Waits for the first byte, and is there until it is ended. */
  const listens = (): string => `head -c 1 >${said()}; ${SLEEP}`;
  const greets = (role: string): string =>
    `printf '${hello({ protocol: 1, tool: "0.1.0", role })}'; echo waiting >&2; ${listens()}`;

  const missing: [string, string[], number, string][] = [
    ["an unknown image", ["push", "nowhere:v1"], 3, "there is no image nowhere:v1"],
    [
      "a platform that is not there",
      ["push", "--platform", "linux/s390x", "failing:v1"],
      3,
      "is here for linux/amd64, not for linux/s390x",
    ],
    ["no engine", ["push", "-H", "unix:///nowhere.sock", "failing:v1"], 4, "/nowhere.sock"],
    ["no engine to receive", ["pull", "-H", "tcp://127.0.0.1:1", "failing:v1"], 4, "127.0.0.1:1"],
  ];
  const fars: [string, (role: string) => string[]][] = [
    ["that has said its hello", (role) => ["sh", "-c", greets(role)]],
    ["that is silent, like an ssh that logs in", () => ["sh", "-c", listens()]],
    ["that leads to an engine", () => ["sh", "-c", listens(), "system", "dial-stdio"]],
    ["that has failed", () => ["no-such-program"]],
    ["that is over", () => ["true"]],
    [
      "that is docker-over-ssh",
      (role) => ["ssh", "far", `docker-over-ssh ${role === "sender" ? "push" : "pull"} nowhere:v1`],
    ],
    ["that is a place", () => ["ssh://far"]],
  ];
  test.each(missing.flatMap(([name, ...rest]) => fars.map(([far, command]) => [name, far, command, ...rest] as const)))(
    "%s, with a remote command %s",
    async (_, __, command, words, exitCode, message) => {
      const run = await dos([...words, ...command(words[0] === "push" ? "receiver" : "sender")]);
      expect(run).toMatchObject({ exitCode, stdout: "" });
      // How the far command was ended is of no interest; what it had to say before, it may have said.
      const told = run.stderr.replace(/^(?:remote: waiting\n)?/, "");
      expect(told).toMatch(/^docker-over-ssh: .*\n {2}expected: .+\n {2}to do: {4}.+\n?$/);
      expect(told).toContain(message);
      expect(existsSync(said()) ? readFileSync(said(), "utf8") : "").toBe("");
    },
  );

  test("no permission on the socket", async () => {
    // Root may open any socket, so this root gives that up.
    const socket = join(folder, "engine.sock");
    const server = createServer().listen(socket);
    await once(server, "listening");
    await execa`chown nobody ${socket}`;
    await execa`chmod 000 ${socket}`;
    const run = await execa({
      reject: false,
      env: bed.env,
    })`setpriv --bounding-set=-dac_override,-dac_read_search docker-over-ssh push -H unix://${socket} failing:v1 true`;
    server.close();
    expect(run.exitCode).toBe(4);
    expect(run.stderr).toContain(socket);
    expect(run.stderr).toMatch(/group|sudo/);
  });
});

describe.skipIf(why)("a remote command that is not, or not yet, docker-over-ssh", () => {
  test.each<[string, string[], number, string]>([
    ["is not there", ["no-such-program", "x"], 5, "there is no program `no-such-program`"],
    ["is not there, over ssh", ["ssh", "far", "no-such-program"], 5, "ended with status 127"],
    ["may not be run", ["sh", "-c", "exit 126"], 5, "ended with status 126"],
    ["exits at once", ["sh", "-c", "exit 3"], 7, "ended with status 3 before its hello"],
    ["exits at once with success", ["true"], 7, "ended with status 0 before its hello"],
    ["is killed", ["sh", "-c", "kill -9 $$"], 7, "was ended by SIGKILL"],
    ["prints a banner and exits", ["sh", "-c", "echo Welcome to prod; exit 1"], 7, "It printed:\n  | Welcome to prod"],
    ["prints garbage for ever", ["yes", "garbage"], 7, "more than 1 MB of other text"],
    ["closes its stdout", ["sh", "-c", `exec >&-; ${SLEEP}`], 7, "closed its output before its hello"],
    ["never answers", ["sh", "-c", SLEEP], 6, "did not answer within 1 s"],
    [
      "speaks another protocol",
      ["sh", "-c", `printf '${hello({ protocol: 99, tool: "9.9.9", role: "receiver" })}'; ${SLEEP}`],
      8,
      "docker-over-ssh 9.9.9, which speaks protocol 99",
    ],
    ["sends too", ["ssh", "far", "docker-over-ssh push registry:2"], 2, "both sides run `docker-over-ssh push`"],
    [
      "wants another image",
      ["ssh", "far", "docker-over-ssh pull failing:v2"],
      13,
      "offers failing:v1, the receiving side asks for failing:v2",
    ],
    [
      "has no engine",
      ["ssh", "far", "docker-over-ssh pull -H unix:///nowhere.sock failing:v1"],
      4,
      "the remote side failed:",
    ],
  ])("%s", async (_, command, exitCode, message) => {
    const run = await dos(["push", ...(exitCode === 6 ? ["--timeout", "1"] : []), "failing:v1", ...command]);
    expect(run).toMatchObject({ exitCode, stdout: "" });
    expect(run.stderr).toContain(message);
  });

  test("a banner first does no harm", async () => {
    await bed.near.docker("tag", "failing:v1", "banner:v1");
    const command = 'echo Welcome; printf "no line feed"; exec ssh far "docker-over-ssh pull banner:v1"';
    expect(await dos(["push", "banner:v1", "sh", "-c", command])).toEqual(done);
    await bed.near.docker("rmi", "banner:v1");
    await bed.far.docker("rmi", "banner:v1");
  });

  test("its stderr is shown live, each line marked", async () => {
    const run = await dos(["push", "failing:v1", "sh", "-c", "echo one >&2; printf two >&2; exit 1"]);
    expect(run.stderr).toMatch(/^remote: one\nremote: two\n/);
  });

  test("a pull or push without a command says so to a terminal, and does not hang", async () => {
    const run = await execa({
      reject: false,
      env: bed.env,
    })`script -qec ${"docker-over-ssh pull failing:v1"} /dev/null`;
    expect(run.exitCode).toBe(2);
    expect(run.stdout).toContain("one of them is a terminal");
  });
});

describe.skipIf(why)("the stdout of a side without a command", () => {
  test.each(["push", "pull"])("%s: nothing but the tunnel, whatever goes wrong", async (verb) => {
    for (const words of [["failing:v1"], ["--verbose", "nowhere:v1"], ["-H", "unix:///nowhere.sock", "failing:v1"]]) {
      const run = await dos([verb, ...words]);
      expect(run.stdout).toMatch(/^#docker-over-ssh#tunnel#\n\{"protocol":1,.*\}$/);
      expect(run.exitCode).toBe(7);
    }
  });
});

describe.skipIf(why)("a registry that", () => {
  test("cannot be had: the remote engine has no registry:2 and no network", async () => {
    const line = ["ssh", "far", "docker-over-ssh push --registry container unserved:v1"];
    expect((await dos(["pull", "unserved:v1", ...line])).exitCode).toBe(3);
    await buildImage(bed.near, "unserved:v1", [{ name: "unserved", bytes: 1000 }]);
    expect(await dos(["push", "unserved:v1", "ssh", "far", "docker-over-ssh pull unserved:v1"])).toEqual(done);
    await bed.near.docker("rmi", "unserved:v1");
    const run = await dos(["pull", "unserved:v1", ...line]);
    expect(run.exitCode).toBe(10);
    expect(run.stderr).toMatch(/the image registry:2 is not on .* and pulling it failed: /);
    expect(run.stderr).toContain("docker save | docker load");
    await bed.far.docker("rmi", "unserved:v1");
  });

  test("is something else, on a port that is taken", async () => {
    const server = createServer((socket) => socket.end("220 mail.example.com ESMTP\r\n")).listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    const run = await dos(["push", "failing:v1", ...OVER_SSH], { env: { LOCAL_DOCKER_REGISTRY_PORT: String(port) } });
    server.close();
    expect(run.exitCode).toBe(10);
    expect(run.stderr).toContain(`the server at 127.0.0.1:${port} is not a registry`);
  });

  test("is not there", async () => {
    const run = await dos(["push", "--registry", "127.0.0.1:1", "failing:v1", ...OVER_SSH]);
    expect(run.exitCode).toBe(10);
    expect(run.stderr).toContain("no registry answers at 127.0.0.1:1");
  });

  test("dies in the middle", async () => {
    mayKeep = true;
    await bed.limitRate(8);
    const run = startDos(["push", "--registry", "container", "failing:v1", ...OVER_SSH]);
    await untilPrinted(run, "sending");
    const registry = (await bed.near.docker("ps", "--quiet", "--filter", "label=docker-over-ssh.run")).stdout;
    await bed.near.docker("kill", registry);
    const { exitCode, stderr } = await run;
    expect(exitCode).toBe(10);
    expect(stderr).toContain("the temporary registry is gone: it stopped with status 137");
  });
});

/** The far machine's process numbers are its own. */
async function killFar(pidFile: string, signal: string): Promise<void> {
  await execa({ env: bed.env })`ssh far ${`kill -s ${signal.slice(3)} $(cat ${pidFile})`}`;
}

describe.skipIf(why)("stopped at any stage, on either side", () => {
  beforeEach(() => void (mayKeep = true));

  const container = ["--registry", "container"];
  const stages: [string, string[], string[]][] = [
    ["running", [], ["sh", "-c", SLEEP]],
    ["starting a registry", container, OVER_SSH],
    ["preparing", container, OVER_SSH],
    ["preparing", [], OVER_SSH],
    ["sending", [], OVER_SSH],
  ];
  const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
  const status = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 };

  test.each(
    stages.flatMap(([stage, options, command], index) =>
      signals
        .filter((_, at) => stage === "sending" || at === index % signals.length)
        .map((signal) => ({ stage, options, signal, command })),
    ),
  )("$signal to the sender while $stage $options", async ({ stage, options, signal, command }) => {
    await bed.limitRate(8);
    const run = startDos(["push", "--verbose", ...options, "failing:v1", ...command]);
    await untilPrinted(run, stage);
    run.kill(signal);
    expect((await run).exitCode).toBe(status[signal]);
  });

  test.each(
    stages
      .slice(1)
      .map(([stage, options], at) => ({ stage, options, signal: signals[at % signals.length] ?? "SIGINT" })),
  )("$signal to the receiver while $stage $options", async ({ stage, options, signal }) => {
    await bed.limitRate(8);
    const pid = join(folder, "pid");
    const far = `echo $$ > ${pid}; exec docker-over-ssh pull failing:v1`;
    const run = startDos(["push", ...options, "failing:v1", "ssh", "far", far]);
    await untilPrinted(run, stage);
    await killFar(pid, signal);
    const { exitCode, stderr } = await run;
    expect(stderr).toContain(`the remote side failed: stopped by ${signal}`);
    expect(exitCode).toBe(1);
  });

  test.each(["push", "pull"])(
    "SIGINT to a %s that has run the other side, whose engine never answers",
    async (verb) => {
      const socket = join(folder, "silent.sock");
      const server = createServer(() => {}).listen(socket);
      await once(server, "listening");
      const other = verb === "push" ? "pull" : "push";
      const far = ["docker-over-ssh", other, "-H", `unix://${socket}`, "failing:v1"];
      const run = startDos([verb, "--verbose", "failing:v1", ...far]);
      await untilPrinted(run, "the tunnel is open");
      run.kill("SIGINT");
      expect((await run).exitCode).toBe(130);
      server.close();
    },
  );

  test("SIGTERM to a side whose own engine never answers", async () => {
    const socket = join(folder, "silent.sock");
    const server = createServer().listen(socket);
    const asked = once(server, "connection");
    const run = startDos(["push", "-H", `unix://${socket}`, "failing:v1", "true"]);
    await asked;
    run.kill("SIGTERM");
    expect((await run).exitCode).toBe(143);
    server.close();
  });

  test("Ctrl-C, which a terminal sends to ssh as well", async () => {
    await bed.limitRate(8);
    const run = execa("docker-over-ssh", ["push", "failing:v1", ...OVER_SSH], {
      env: bed.env,
      reject: false,
      detached: true,
    });
    await untilPrinted(run, "sending");
    process.kill(-(run.pid ?? 0), "SIGINT");
    expect((await run).exitCode).toBe(130);
  });

  test("the receiver is killed: the sender says that the link is lost, and how ssh ended", async () => {
    await bed.limitRate(8);
    const pid = join(folder, "pid");
    const run = startDos([
      "push",
      "failing:v1",
      "ssh",
      "far",
      `echo $$ > ${pid}; exec docker-over-ssh pull failing:v1`,
    ]);
    await untilPrinted(run, "sending");
    await killFar(pid, "SIGKILL");
    const { exitCode, stderr } = await run;
    await bed.limitRate(undefined);
    expect(exitCode).toBe(9);
    expect(stderr).toMatch(/the connection to the remote side was lost: `ssh far .*` ended with status/);
    // What it left in its engine goes with the next run there.
    const next = await dos(["push", "failing:v1", ...OVER_SSH]);
    expect(next).toEqual(done);
    await bed.far.docker("rmi", "failing:v1");
  });

  test("the sender is killed: the receiver ends, and leaves nothing", async () => {
    await bed.limitRate(8);
    const run = startDos(["push", "failing:v1", ...OVER_SSH]);
    await untilPrinted(run, "sending");
    run.kill("SIGKILL");
    await run;
    await bed.limitRate(undefined);
    // The next run removes what the sender left in its engine.
    expect(await dos(["push", "failing:v1", ...OVER_SSH])).toEqual(done);
    await bed.far.docker("rmi", "failing:v1");
  });

  test("a second Ctrl-C ends it at once, though the engine hangs; the next run tidies up", async () => {
    const run = startDos(["push", "--verbose", "--registry", "container", "failing:v1", ...OVER_SSH]);
    await untilPrinted(run, "preparing");
    await bed.near.signal("STOP");
    try {
      const stopping = untilPrinted(run, "stopping: SIGINT");
      run.kill("SIGINT");
      await stopping;
      run.kill("SIGINT");
      expect((await run).signal).toBe("SIGINT");
    } finally {
      await bed.near.signal("CONT");
    }
    expect(await dos(["push", "failing:v1", ...OVER_SSH])).toEqual(done);
    await bed.far.docker("rmi", "failing:v1");
  });
});
