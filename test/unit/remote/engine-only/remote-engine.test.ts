import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { openRemoteEngine, type RemoteEngine } from "../../../../src/remote/engine-only/remote-engine.ts";
import { runRemoteCommand } from "../../../../src/remote/login/remote-command.ts";
import { outputTo } from "../../../../src/output/output.ts";
import { answer, fakeEngine, latch, rejection, temporaryFolder, type Route } from "../../engine/fake-engine.ts";

const program = fileURLToPath(new URL("../../engine/fake-ssh.mjs", import.meta.url));
const command = [process.execPath, program, "system", "dial-stdio"];
const words = "ssh prod docker system dial-stdio";

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let engine: Awaited<ReturnType<typeof fakeEngine>>;
let shown: string[];
let stop: AbortController;
let routes: Record<string, Route>;

beforeEach(async () => {
  folder = await temporaryFolder();
  routes = {};
  engine = await fakeEngine(routes);
  shown = [];
  stop = new AbortController();
  vi.stubEnv("FAKE_SSH_LOG", join(folder.path, "log"));
  vi.stubEnv("FAKE_SSH_SOCKET", engine.socketPath);
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await engine[Symbol.asyncDispose]();
  await folder[Symbol.asyncDispose]();
});

async function open(timeout = 10_000, line: readonly string[] = command): Promise<RemoteEngine> {
  const output = outputTo((event) => {
    if (event.type === "remote") shown.push(event.line);
  });
  const context = { output, signal: stop.signal, env: process.env };
  const request = { timeout, bwlimit: undefined };
  const again = () => runRemoteCommand(line, { words, byHand: words }, request, context);
  const address = { host: `\`${words}\``, source: "over its stdin and stdout" };
  return await openRemoteEngine({
    address,
    link: again(),
    again,
    request,
    context,
  });
}

/** Returns the number of runs of the command. */
async function runs(): Promise<number> {
  return (await readFile(join(folder.path, "log"), "utf8")).trim().split("\n").length;
}

/** Returns whether the first run of the command is still alive. */
async function isRunning(): Promise<boolean> {
  const [first = ""] = (await readFile(join(folder.path, "log"), "utf8")).split("\n");
  try {
    return process.kill((JSON.parse(first) as { pid: number }).pid, 0);
  } catch {
    return false;
  }
}

describe.skipIf(process.platform === "win32")("an engine behind a remote command", () => {
  test("needs one run of the command for all requests, and counts the bytes of its stdio", async () => {
    routes["GET /images/json"] = (_request, response) => answer(response, 200, []);
    await using found = await open();
    await Promise.all(Array.from({ length: 10 }, () => found.engine.listReferences()));
    expect(await runs()).toBe(1);
    expect(found.traffic.bytesSent).toBeGreaterThan(10 * 50);
    expect(found.traffic.bytesReceived).toBeGreaterThan(10 * 50);
    expect(found.traffic.bytesReceived).toBeLessThan(10_000);
  });

  test("works behind a login shell that prints", async () => {
    vi.stubEnv("FAKE_SSH_BANNER", "Welcome to prod\nLast login: today");
    routes["GET /images/json"] = (_request, response) => answer(response, 200, []);
    await using found = await open();
    expect(await found.engine.listReferences()).toEqual([]);
  });

  test.each<[string, string, string, object]>([
    [
      "fails",
      "",
      "3",
      { code: "engine-unreachable", message: `\`${words}\` ended with status 3 before an engine answered` },
    ],
    [
      "cannot log in",
      "deploy@prod: Permission denied (publickey).\n",
      "255",
      { code: "engine-unreachable", message: expect.stringContaining("ended with status 255") },
    ],
    [
      "finds no docker",
      "bash: line 1: docker: command not found\n",
      "127",
      { code: "remote-command-not-found", hint: expect.stringContaining("Install it there") },
    ],
    [
      "finds the engine down",
      "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?\n",
      "1",
      { code: "engine-unreachable", hint: "Start the engine there." },
    ],
    [
      "may not use the engine",
      "permission denied while trying to connect to the Docker daemon socket at unix:///var/run/docker.sock\n",
      "1",
      { code: "engine-unreachable", hint: expect.stringContaining("--sudo") },
    ],
    [
      "is asked for a password by sudo",
      "sudo: a password is required\n",
      "1",
      { code: "engine-unreachable", hint: expect.stringContaining("NOPASSWD") },
    ],
  ])("that %s", async (_, says, status, failure) => {
    vi.stubEnv("FAKE_SSH_SAYS", says);
    vi.stubEnv("FAKE_SSH_STATUS", status);
    expect(await rejection(open())).toMatchObject(failure);
    expect(shown.join("\n")).toBe(says.trim());
  });

  test("that prints text instead of an answer: the error shows the text", async () => {
    vi.stubEnv("FAKE_SSH_BANNER", "This account is currently not available.\n");
    vi.stubEnv("FAKE_SSH_STATUS", "1");
    expect((await rejection(open())).message).toMatch(
      /status 1 before an engine answered\. It printed:\nThis account is currently not available\.$/,
    );
  });

  test("that ends before the first request: the error shows the text", async () => {
    const failure = await rejection(
      open(10_000, ["sh", "-c", "echo Go away; exec <&-; exit 3", "system", "dial-stdio"]),
    );
    expect(failure.message).toMatch(/status 3 before an engine answered\. It printed:\nGo away$/);
  });

  test.each([false, true])("that has ended before the connection is made; stdout has been read: %s", async (isRead) => {
    const context = { output: outputTo(() => {}), signal: stop.signal, env: process.env };
    const request = { timeout: 10_000, bwlimit: undefined };
    const link = runRemoteCommand(["sh", "-c", "exit 127"], { words, byHand: words }, request, context);
    if (isRead) link.child.stdout.resume();
    await Promise.all([link.child.exit(), isRead && once(link.child.stdout, "close")]);
    const address = { host: words, source: "over its stdin and stdout" };
    const opening = openRemoteEngine({ address, link, again: () => link, request, context });
    expect(await rejection(opening)).toMatchObject({ code: "remote-command-not-found" });
  });

  test("that does not speak HTTP", async () => {
    const failure = await rejection(open(10_000, ["sh", "-c", "yes; :", "system", "dial-stdio"]));
    expect(failure).toMatchObject({
      code: "engine-unreachable",
      message: expect.stringContaining("its answer is not HTTP"),
    });
  });

  test("that does not exist on this machine", async () => {
    const failure = await rejection(open(10_000, ["no-such-program-here", "system", "dial-stdio"]));
    expect(failure).toMatchObject({ code: "remote-command-not-found" });
  });

  test("that never answers", async () => {
    const failure = await rejection(open(500, ["sh", "-c", "exec sleep 1000.951", "system", "dial-stdio"]));
    expect(failure).toMatchObject({ code: "remote-no-answer", message: `\`${words}\` has not answered for 0.5 s` });
  });

  test("that dies in the middle of an answer: the transfer's signal aborts, and the command is not started again", async () => {
    routes["POST /images/create"] = (_request, response) => response.write('{"status":"half-way"}\n');
    vi.stubEnv("FAKE_SSH_UNTIL", "half-way");
    vi.stubEnv("FAKE_SSH_SAYS", "client_loop: send disconnect: Broken pipe\n");
    vi.stubEnv("FAKE_SSH_STATUS", "255");
    await using found = await open();
    const failure = await rejection(found.engine.pullImage("app:v1"));
    expect(failure).toMatchObject({
      code: "link-lost",
      message: `the connection to the remote engine was lost: \`${words}\` ended with status 255`,
    });
    expect(found.signal.reason).toBe(failure);
    expect(shown).toEqual(["client_loop: send disconnect: Broken pipe"]);
    expect(await rejection(found.engine.removeReference("app:v1"))).toBe(failure);
    expect(await runs()).toBe(1);
  });

  test("that dies between requests: the transfer's signal aborts", async () => {
    vi.stubEnv("FAKE_SSH_UNTIL", "OK");
    vi.stubEnv("FAKE_SSH_STATUS", "255");
    await using found = await open();
    await new Promise<void>((resolve) => {
      if (found.signal.aborted) resolve();
      else found.signal.addEventListener("abort", () => resolve());
    });
    expect(found.signal.reason).toMatchObject({ code: "link-lost" });
  });

  test("that closes a connection cleanly is not lost", async () => {
    routes["GET /version"] = (_request, response) => answer(response, 200, {});
    routes["POST /images/load"] = (_request, response) => {
      response.setHeader("Connection", "close");
      answer(response, 500, { message: "no" });
    };
    await using found = await open();
    expect(await rejection(found.engine.loadImage(Readable.from([Buffer.from("x")])))).toMatchObject({ message: "no" });
    routes["GET /images/json"] = (_request, response) => answer(response, 200, []);
    expect(await found.engine.listReferences()).toEqual([]);
    expect(found.signal.aborted).toBe(false);
  });

  test("that closes an idle connection, like proxies, gets a new connection", async () => {
    routes["GET /images/json"] = (_request, response) => {
      const { socket } = response;
      response.once("finish", () => socket?.end());
      answer(response, 200, []);
    };
    await using found = await open();
    expect(await found.engine.listReferences()).toEqual([]);
    await expect.poll(isRunning).toBe(false);
    // A request at the moment of the close fails.
    await expect.poll(async () => await found.engine.listReferences().then(runs)).toBeGreaterThan(1);
    expect(found.signal.aborted).toBe(false);
  });

  test("gets a new run of the command for the clean-up after an abort in the middle of an answer", async () => {
    const asked = latch();
    routes["GET /images/json"] = () => asked.open(); // never answers
    routes["DELETE /images/app:v1"] = (_request, response) => answer(response, 200, []);
    await using found = await open();
    const listing = rejection(found.engine.listReferences());
    await asked.opened;
    stop.abort(new Error("Ctrl-C"));
    expect((await listing).message).toBe("Ctrl-C");
    await found.engine.removeReference("app:v1");
    expect(engine.calls().at(-1)).toBe("DELETE /images/app:v1");
    expect(await runs()).toBe(2);
  });
});
