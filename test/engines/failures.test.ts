import { existsSync, readFileSync } from "node:fs";
import { once } from "node:events";
import { createServer, type AddressInfo } from "node:net";
import { join } from "node:path";
import { execa } from "execa";
import { describe, expect, test } from "vitest";
import { buildImage } from "../testbed/build-image.ts";
import { bed, done, dos, startDos, untilPrinted, why } from "./bed.ts";
import { allowPartialLayers, folder, OVER_SSH, SLEEP } from "./failure-checks.ts";

const hello = (fields: object): string => `#docker-over-ssh#tunnel#\\n${JSON.stringify(fields)}\\n`;

describe.skipIf(why)(`rejects an invalid command line before it starts anything: ${why ?? ""}`, () => {
  test.each<[string, string[], string]>([
    ["an invalid reference", ["push", "App:v1"], "must be in lower case"],
    ["an image ID for a name", ["pull", "ab".repeat(32)], "is an image ID, but the image needs a name"],
    ["an invalid engine address", ["push", "-H", "ftp://x", "failing:v1"], "ftp://x (-H)"],
    ["an invalid engine address of the receiver", ["pull", "-H", "ftp://x", "failing:v1"], "ftp://x (-H)"],
    ["an invalid registry", ["push", "--registry", "x:y", "failing:v1"], "--registry x:y names no registry"],
  ])("%s", async (_, words, message) => {
    const started = join(folder, "started");
    const run = await dos([...words, "touch", started]);
    expect(run).toMatchObject({ exitCode: 2, stdout: "" });
    expect(run.stderr).toContain(message);
    expect(run.stderr).toMatch(/^ {2}expected: .+\n {2}to do: {4}.+/m);
    expect(existsSync(started)).toBe(false);
  });
});

describe.skipIf(why)(
  "reports a missing image or engine, and sends nothing to a remote command that already runs",
  () => {
    const received = (): string => join(folder, "received");
    /** A remote command that waits for the first byte, and runs until it is ended. */
    const listens = (): string => `head -c 1 >${received()}; ${SLEEP}`;
    const greets = (role: string): string =>
      `printf '${hello({ protocol: 1, tool: "0.1.0", role })}'; echo waiting >&2; ${listens()}`;

    const missing: [string, string[], number, string][] = [
      ["an unknown image", ["push", "nowhere:v1"], 3, "there is no image nowhere:v1"],
      [
        "a missing platform",
        ["push", "--platform", "linux/s390x", "failing:v1"],
        3,
        "is for linux/amd64, not for linux/s390x",
      ],
      ["no engine", ["push", "-H", "unix:///nowhere.sock", "failing:v1"], 4, "/nowhere.sock"],
      ["no engine to receive", ["pull", "-H", "tcp://127.0.0.1:1", "failing:v1"], 4, "127.0.0.1:1"],
    ];
    const remotes: [string, (role: string) => string[]][] = [
      ["that has sent its hello", (role) => ["sh", "-c", greets(role)]],
      ["that is silent, like an ssh that logs in", () => ["sh", "-c", listens()]],
      ["that leads to an engine", () => ["sh", "-c", listens(), "system", "dial-stdio"]],
      ["that has failed", () => ["no-such-program", "there"]],
      ["that has ended", () => ["true"]],
      [
        "that is docker-over-ssh",
        (role) => ["ssh", "far", `docker-over-ssh ${role === "sender" ? "push" : "pull"} nowhere:v1`],
      ],
      ["that is ssh://HOST", () => ["ssh://far"]],
    ];
    test.each(
      missing.flatMap(([name, ...rest]) =>
        remotes.map(([remote, command]) => [name, remote, command, ...rest] as const),
      ),
    )("%s, with a remote command %s", async (_, __, command, words, exitCode, message) => {
      const run = await dos([...words, ...command(words[0] === "push" ? "receiver" : "sender")]);
      expect(run).toMatchObject({ exitCode, stdout: "" });
      // The remote command may have printed something before it was ended.
      const stderr = run.stderr.replace(/^(?:remote: waiting\n)?/, "");
      expect(stderr).toMatch(/^docker-over-ssh: .*\n {2}expected: .+\n {2}to do: {4}.+\n?$/);
      expect(stderr).toContain(message);
      expect(existsSync(received()) ? readFileSync(received(), "utf8") : "").toBe("");
    });

    test("without permission on the socket", async () => {
      // Root may open any socket, unless it drops the capabilities for that.
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
  },
);

describe.skipIf(why)("a remote command that is not docker-over-ssh, or prints before its hello", () => {
  test.each<[string, string[], number, string]>([
    ["does not exist", ["no-such-program", "x"], 5, "there is no program `no-such-program`"],
    ["does not exist, over ssh", ["ssh", "far", "no-such-program"], 5, "ended with status 127"],
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
      "offers failing:v1, the receiving side requests failing:v2",
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

  test("prints a banner first, and then works", async () => {
    await bed.near.docker("tag", "failing:v1", "banner:v1");
    const command = 'echo Welcome; printf "no line feed"; exec ssh far "docker-over-ssh pull banner:v1"';
    expect(await dos(["push", "banner:v1", "sh", "-c", command])).toEqual(done);
    await bed.near.docker("rmi", "banner:v1");
    await bed.far.docker("rmi", "banner:v1");
  });

  test("prints on stderr: each line is shown at once, with a prefix", async () => {
    const run = await dos(["push", "failing:v1", "sh", "-c", "echo one >&2; printf two >&2; exit 1"]);
    expect(run.stderr).toMatch(/^remote: one\nremote: two\n/);
  });

  test("is missing, with a terminal on stdin and stdout: the error reports it", async () => {
    const run = await execa({
      reject: false,
      env: bed.env,
    })`script -qec ${"docker-over-ssh pull failing:v1"} /dev/null`;
    expect(run.exitCode).toBe(2);
    expect(run.stdout).toContain("one of them is a terminal");
  });
});

describe.skipIf(why)("the stdout of a side without a command", () => {
  test.each(["push", "pull"])("%s: carries only the tunnel, whatever fails", async (verb) => {
    for (const words of [["failing:v1"], ["--verbose", "nowhere:v1"], ["-H", "unix:///nowhere.sock", "failing:v1"]]) {
      const run = await dos([verb, ...words]);
      expect(run.stdout).toMatch(/^#docker-over-ssh#tunnel#\n\{"protocol":1,.*\}$/);
      expect(run.exitCode).toBe(7);
    }
  });
});

describe.skipIf(why)("with a registry that", () => {
  test("cannot be started: the remote engine has no registry:2 and no network", async () => {
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

  test("is another server on the port", async () => {
    const server = createServer((socket) => socket.end("220 mail.example.com ESMTP\r\n")).listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    const run = await dos(["push", "failing:v1", ...OVER_SSH], { env: { LOCAL_DOCKER_REGISTRY_PORT: String(port) } });
    server.close();
    expect(run.exitCode).toBe(10);
    expect(run.stderr).toContain(`the server at 127.0.0.1:${port} is not a registry`);
  });

  test("does not answer", async () => {
    const run = await dos(["push", "--registry", "127.0.0.1:1", "failing:v1", ...OVER_SSH]);
    expect(run.exitCode).toBe(10);
    expect(run.stderr).toContain("no registry answers at 127.0.0.1:1");
  });

  test("dies during the transfer", async () => {
    allowPartialLayers();
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
