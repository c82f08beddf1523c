import { once } from "node:events";
import { chmod, readFile, writeFile } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { dialStdio } from "../../../../src/engine/connect/dial-stdio.ts";
import { openEngine } from "../../../../src/engine/open/open-engine.ts";
import { parseHost, type SshAddress } from "../../../../src/engine/connect/endpoint.ts";
import { sshArguments } from "../../../../src/engine/connect/ssh-command.ts";
import { answer, fakeEngine, latch, rejection, temporaryFolder } from "../fake-engine.ts";

describe("the command line of ssh", () => {
  test.each([
    ["ssh://prod", "-o ConnectTimeout=30 -T -- prod docker system dial-stdio"],
    ["ssh://deploy@prod:2222", "-l deploy -p 2222 -o ConnectTimeout=30 -T -- prod docker system dial-stdio"],
    [
      "ssh://prod/run/docker.sock",
      "-o ConnectTimeout=30 -T -- prod docker --host=unix:///run/docker.sock system dial-stdio",
    ],
    [
      "ssh://prod/a%20b/it's",
      String.raw`-o ConnectTimeout=30 -T -- prod docker '--host=unix:///a b/it'\''s' system dial-stdio`,
    ],
  ])("%s", (host, expected) => {
    expect(sshArguments(parseHost(host, "-H").address as SshAddress).join(" ")).toBe(expected);
  });
});

describe.skipIf(process.platform === "win32")("an engine behind ssh", () => {
  let folder: Awaited<ReturnType<typeof temporaryFolder>>;
  const endpoint = parseHost("ssh://deploy@prod", "DOCKER_HOST");

  beforeEach(async () => {
    folder = await temporaryFolder();
    const ssh = join(folder.path, "ssh");
    await writeFile(
      ssh,
      `#!/bin/sh\nexec '${process.execPath}' '${fileURLToPath(new URL("../fake-ssh.mjs", import.meta.url))}' "$@"\n`,
    );
    await chmod(ssh, 0o755);
    vi.stubEnv("PATH", `${folder.path}${delimiter}${process.env["PATH"]}`);
    vi.stubEnv("FAKE_SSH_LOG", join(folder.path, "log"));
  });
  afterEach(async () => {
    vi.unstubAllEnvs();
    await folder[Symbol.asyncDispose]();
  });

  async function started(): Promise<{ pid: number; argv: string[] }[]> {
    const log = await readFile(join(folder.path, "log"), "utf8");
    return log
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as { pid: number; argv: string[] });
  }

  const isAlive = (pid: number): boolean => {
    try {
      return process.kill(pid, 0);
    } catch {
      return false;
    }
  };

  test("is reached through one ssh while requests follow each other", async () => {
    await using remote = await fakeEngine({
      "GET /images/json": (_request, response) => answer(response, 200, [{ RepoTags: ["app:v1"] }]),
    });
    vi.stubEnv("FAKE_SSH_SOCKET", remote.socketPath);
    {
      await using engine = await openEngine(endpoint);
      expect(engine.address).toBe("ssh://deploy@prod (DOCKER_HOST)");
      for (let round = 0; round < 3; round++) expect(await engine.listReferences()).toEqual(["app:v1"]);
      expect(await started()).toEqual([
        { pid: expect.any(Number), argv: sshArguments(endpoint.address as SshAddress) },
      ]);
    }
    expect((await started()).filter(({ pid }) => isAlive(pid))).toEqual([]);
  });

  test("concurrent requests wait for each other and share one ssh, which ends with the engine", async () => {
    await using remote = await fakeEngine({
      "GET /images/json": (_request, response) => answer(response, 200, []),
      "GET /containers/json": () => {}, // never answers
    });
    vi.stubEnv("FAKE_SSH_SOCKET", remote.socketPath);
    const engine = await openEngine(endpoint);
    await Promise.all([engine.listReferences(), engine.listReferences(), engine.listImageIds()]);
    const open = rejection(engine.findContainers("x"));
    expect((await started()).every(({ pid }) => isAlive(pid))).toBe(true);
    await engine[Symbol.asyncDispose]();
    expect(await started()).toHaveLength(1);
    expect((await started()).filter(({ pid }) => isAlive(pid))).toEqual([]);
    expect(await open).toMatchObject({ code: "engine-unreachable" });
  });

  test("an idle connection that the engine ends is closed", async () => {
    const answers = `process.stdout.write("HTTP/1.1 200 OK\\r\\n\\r\\n")`;
    const connection = dialStdio(process.execPath, ["-e", answers]);
    connection.resume();
    await once(connection, "close");
    expect(await connection.ended).toMatchObject({ status: 0 });
  });

  test("skips output of a login shell before the first answer", async () => {
    await using remote = await fakeEngine({ "GET /images/json": (_request, response) => answer(response, 200, []) });
    vi.stubEnv("FAKE_SSH_SOCKET", remote.socketPath);
    vi.stubEnv("FAKE_SSH_BANNER", "Welcome to prod\nLast login: today");
    await using engine = await openEngine(endpoint);
    expect(await engine.listReferences()).toEqual([]);
  });

  test("the error contains the output if there is no answer", async () => {
    vi.stubEnv("FAKE_SSH_BANNER", "This account is currently not available.\n");
    vi.stubEnv("FAKE_SSH_STATUS", "1");
    expect((await rejection(openEngine(endpoint))).message).toMatch(
      /it ended with status 1 and printed: This account is currently not available\.$/,
    );
  });

  test("the error contains ssh's stderr", async () => {
    vi.stubEnv("FAKE_SSH_SAYS", "ssh: Could not resolve hostname prod: Name or service not known\n");
    vi.stubEnv("FAKE_SSH_STATUS", "255");
    const error = await rejection(openEngine(endpoint));
    expect(error).toMatchObject({
      code: "engine-unreachable",
      message:
        "cannot reach the Docker engine at ssh://deploy@prod (DOCKER_HOST): ssh: it ended with status 255 and printed: ssh: Could not resolve hostname prod: Name or service not known",
      hint: expect.stringContaining("`ssh deploy@prod docker version`"),
    });
  });

  test("stores only the end of ssh's output", async () => {
    vi.stubEnv("FAKE_SSH_SAYS", `${"debug1: ".repeat(5000)}the reason\n`);
    vi.stubEnv("FAKE_SSH_STATUS", "255");
    const { message } = await rejection(openEngine(endpoint));
    expect(message).toMatch(/the reason$/);
    expect(message.length).toBeLessThan(4400);
  });

  test("fails if the remote side has no docker", async () => {
    vi.stubEnv("FAKE_SSH_SAYS", "bash: line 1: docker: command not found\n");
    vi.stubEnv("FAKE_SSH_STATUS", "127");
    expect(await rejection(openEngine(endpoint))).toMatchObject({
      code: "engine-unreachable",
      hint: expect.stringContaining("Install the docker CLI on prod"),
    });
  });

  test("fails if ssh is not installed", async () => {
    vi.stubEnv("PATH", join(folder.path, "nothing-in-here"));
    expect(await rejection(openEngine(endpoint))).toMatchObject({
      code: "engine-unreachable",
      hint: expect.stringContaining("Install ssh"),
    });
  });

  test("fails if the link is lost in the middle of an answer", async () => {
    await using remote = await fakeEngine({
      "POST /images/create": (_request, response) => response.write('{"status":"half-way"}\n'),
    });
    vi.stubEnv("FAKE_SSH_SOCKET", remote.socketPath);
    vi.stubEnv("FAKE_SSH_UNTIL", "half-way");
    vi.stubEnv("FAKE_SSH_SAYS", "client_loop: send disconnect: Broken pipe");
    vi.stubEnv("FAKE_SSH_STATUS", "255");
    await using engine = await openEngine(endpoint);
    const seen: string[] = [];
    const error = await rejection(engine.pullImage("app:v1", { onProgress: ({ status }) => seen.push(status) }));
    expect(seen).toEqual(["half-way"]);
    expect(error).toMatchObject({
      code: "engine-unreachable",
      message: expect.stringContaining("client_loop: send disconnect: Broken pipe"),
    });
  });

  test("an aborted request ends its ssh", async () => {
    const asked = latch();
    const hungUp = latch();
    await using remote = await fakeEngine({
      "POST /images/create": (_request, response) => {
        response.on("close", hungUp.open);
        asked.open();
      },
    });
    vi.stubEnv("FAKE_SSH_SOCKET", remote.socketPath);
    await using engine = await openEngine(endpoint);
    const abort = new AbortController();
    const pull = rejection(engine.pullImage("app:v1", { signal: abort.signal }));
    await asked.opened;
    const reason = new Error("Ctrl-C");
    abort.abort(reason);
    expect(await pull).toBe(reason);
    await hungUp.opened;
  });
});
