/** The remote command as a child: each row of PROTOCOL.md's table of failures, with a program that fails in that way. */
import { randomUUID } from "node:crypto";
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { Failure } from "../../../src/output/errors.ts";
import { spawnRemote } from "../../../src/stdio-tunnel/remote-process.ts";
import { overTunnel, wasReported, type TunnelOptions } from "../../../src/stdio-tunnel/open.ts";
import type { Tunnel } from "../../../src/stdio-tunnel/session.ts";
import { deferred } from "../../../src/streams/deferred.ts";
import { detailText } from "../../../src/output/detail-texts.ts";
import { remoteProgram } from "./carriers.ts";

interface Run {
  /** Its error, if it failed. */
  failure: Failure | undefined;
  /** The remote command's stderr. */
  lines: string[];
  details: string[];
}

/** Runs a receiver over a remote command to its end. */
async function run(
  command: string[],
  options: Partial<TunnelOptions> = {},
  use: (tunnel: Tunnel) => Promise<unknown> = (tunnel) => tunnel.finish({}),
): Promise<Run> {
  const lines: string[] = [];
  const details: string[] = [];
  const failure: unknown = await overTunnel(
    {
      role: "receiver",
      tool: "0.1.0",
      image: "app:v2",
      connection: { kind: "command", words: command },
      signal: new AbortController().signal,
      onRemoteLine: (line) => lines.push(line),
      onDetail: (detail) => details.push(detailText(detail)),
      ...options,
    },
    use,
  ).then(
    () => undefined,
    (error: unknown) => error,
  );
  if (failure !== undefined && !(failure instanceof Failure)) throw failure;
  return { failure, lines, details };
}

function pidOf(lines: string[]): number {
  return Number(/pid (\d+)/.exec(lines.join("\n"))?.[1]);
}

function isRunning(pid: number): boolean {
  expect(pid).toBeGreaterThan(1);
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

describe("a command that cannot be run", () => {
  test("because the program does not exist", async () => {
    const { failure } = await run(["no-such-program", "host", "docker-over-ssh pull"]);
    expect(failure).toMatchObject({
      code: "remote-command-not-found",
      exitStatus: 5,
      message: "cannot run `no-such-program host docker-over-ssh pull`: there is no program `no-such-program` here",
      expected: expect.stringContaining("ssh HOST"),
      hint: expect.stringContaining("sh -c"),
    });
  });

  test("because it is not executable", async () => {
    const folder = await mkdtemp(join(tmpdir(), "far-command-"));
    const path = join(folder, randomUUID());
    await writeFile(path, "#!/bin/sh\n");
    await chmod(path, 0o644);
    const { failure } = await run([path]);
    expect(failure).toMatchObject({ code: "remote-command-not-found", message: expect.stringContaining("EACCES") });
    await rm(folder, { recursive: true });
  });

  test("because it is empty", async () => {
    expect((await run([""])).failure).toMatchObject({ code: "remote-command-not-found" });
  });
});

describe("a command that is not a tunnel", () => {
  test.each([0, 1, 255])("ends at once with %i", async (status) => {
    const { failure } = await run(remoteProgram("exits.mjs", String(status)));
    expect(failure).toMatchObject({
      code: "remote-not-a-tunnel",
      exitStatus: 7,
      expected: expect.stringContaining("docker-over-ssh pull"),
    });
    expect(failure?.message).toMatch(
      new RegExp(`exits\\.mjs ${status}\` ended with status ${status} before its hello$`),
    );
  });

  test.each([126, 127])("ends with %i, like a shell that does not find a command", async (status) => {
    const { failure } = await run(remoteProgram("exits.mjs", String(status)));
    expect(failure).toMatchObject({
      code: "remote-command-not-found",
      exitStatus: 5,
      hint: expect.stringContaining("Install it on the remote side"),
    });
    expect(failure?.message).toMatch(
      new RegExp(`ended with status ${status}: the remote shell found no such command$`),
    );
  });

  test("is killed", async () => {
    const { failure } = await run(remoteProgram("kills-itself.mjs"));
    expect(failure).toMatchObject({
      code: "remote-not-a-tunnel",
      message: expect.stringContaining("was ended by SIGKILL before"),
    });
  });

  test.each([
    ["with a last line feed", "usage: docker\n"],
    ["without one", "usage: docker"],
  ])("prints other text, %s", async (_how, words) => {
    const { failure } = await run(remoteProgram("prints.mjs", "stdout", words));
    expect(failure).toMatchObject({ code: "remote-not-a-tunnel" });
    expect(failure?.message).toMatch(/ended with status 1 before its hello\. It printed:\nusage: docker$/);
  });

  test("reports the reason on its stderr, whose last line is not lost", async () => {
    const { failure, lines } = await run(
      remoteProgram("prints.mjs", "stderr", "Permission denied\n", "Connection closed"),
    );
    expect(failure).toMatchObject({ code: "remote-not-a-tunnel", message: expect.stringContaining("status 1") });
    expect(lines).toEqual(["Permission denied", "Connection closed"]);
  });

  test("is read to the end of its stderr, which arrives just after its exit", async () => {
    expect((await run(remoteProgram("last-words.mjs"))).lines).toEqual(["the last word"]);
  });

  test("prints escape sequences, which are passed on, and which the output makes harmless", async () => {
    const words = "\u001b]0;owned\u0007\u001b[2J";
    expect((await run(remoteProgram("prints.mjs", "stdout", words, "x"))).failure?.message).toContain(
      `It printed:\n${words}x`,
    );
    expect((await run(remoteProgram("prints.mjs", "stderr", words))).lines).toEqual([words]);
  });

  test("prints for ever", async () => {
    const { failure } = await run(remoteProgram("garbage-for-ever.mjs"), { leaveTimeout: 50 });
    expect(failure).toMatchObject({
      code: "remote-not-a-tunnel",
      message: expect.stringContaining("more than 1 MB of other text. It printed:\n"),
    });
    expect(failure?.message.length).toBeLessThan(6000);
  });

  test("closes its stdout and continues to run, and is ended", async () => {
    const { failure, lines } = await run(remoteProgram("closes-stdout.mjs"), { leaveTimeout: 50 });
    expect(failure).toMatchObject({
      code: "remote-not-a-tunnel",
      message: expect.stringContaining("closed its output before its hello"),
    });
    expect(isRunning(pidOf(lines))).toBe(false);
  });

  test("never answers, and is ended; its output is shown", async () => {
    const { failure, lines } = await run(remoteProgram("never-answers.mjs"), { timeout: 1500 });
    expect(failure).toMatchObject({ code: "remote-no-answer", exitStatus: 6 });
    expect(failure?.message).toMatch(
      /never-answers\.mjs`: the remote side did not answer within 1.5 s\. It printed:\npassword:$/,
    );
    expect(isRunning(pidOf(lines))).toBe(false);
  });
});

describe("a command that is another docker-over-ssh", () => {
  test("with another protocol is reported on both sides, with both protocols", async () => {
    const { failure, lines } = await run(remoteProgram("other-protocol.mjs"));
    expect(failure).toMatchObject({
      code: "remote-other-protocol",
      exitStatus: 8,
      expected: expect.stringContaining("protocol 1"),
    });
    expect(failure?.message).toMatch(
      /other-protocol\.mjs`: the remote side is docker-over-ssh 9\.0\.0, which speaks protocol 2$/,
    );
    expect(lines).toEqual(["#docker-over-ssh#tunnel#", expect.stringContaining('"protocol":1,"tool":"0.1.0"')]);
  });

  test("with the same role is reported", async () => {
    const { failure } = await run(remoteProgram("same-role.mjs"));
    expect(failure).toMatchObject({
      code: "usage",
      exitStatus: 2,
      hint: expect.stringContaining("docker-over-ssh push IMAGE"),
    });
  });

  test("that dies in the middle is reported with its status and its last output", async () => {
    const { failure, lines } = await run(remoteProgram("dies-in-the-middle.mjs"), {}, (tunnel) => tunnel.next("offer"));
    expect(failure).toMatchObject({ code: "link-lost", exitStatus: 9 });
    expect(failure?.message).toMatch(/was lost: `.*dies-in-the-middle\.mjs` ended with status 3$/);
    expect(lines).toEqual(["out of memory"]);
  });

  test.each([
    ["a banner", "Welcome to build-7\n"],
    ["a banner without a line feed", "Last login: today"],
  ])("still works after %s", async (_what, banner) => {
    const { failure, lines, details } = await run(remoteProgram("banner.ts", banner));
    expect({ failure, lines }).toEqual({ failure: undefined, lines: [] });
    expect(details.join("\n")).toContain(banner.trim());
  });
});

describe("a failure on this side", () => {
  const failure = new Failure("no-space", "the disk of build-7 is full");

  test("is reported to the remote side, which prints it for both", async () => {
    const { failure: seen, lines } = await run(remoteProgram("tunnel.ts", "sender", "idle"), {}, () =>
      Promise.reject(failure),
    );
    expect(seen).toBe(failure);
    expect(wasReported(seen)).toBe(true);
    expect(lines.join("\n")).toContain("the disk of build-7 is full");
  });

  test("is not reported to a remote side that has ended", async () => {
    const { failure: seen } = await run(remoteProgram("dies-in-the-middle.mjs"), {}, (tunnel) => tunnel.next("offer"));
    expect(wasReported(seen)).toBe(false);
  });
});

describe("a remote command that starts before this side is ready", () => {
  const hello = JSON.stringify({ protocol: 2, tool: "9.0.0", role: "relay" });
  const greeter = ["sh", "-c", 'printf "#docker-over-ssh#tunnel#\\n%s\\n" "$0"; echo greeted >&2; cat >&2', hello];

  test("gets no input before this side is ready", async () => {
    const atHand = deferred<void>();
    const lines: string[] = [];
    const onRemoteLine = (line: string): void => {
      lines.push(line);
      if (line !== "greeted") return;
      expect(lines).toEqual(["greeted"]);
      atHand.resolve();
    };
    const { failure } = await run(greeter, { ready: atHand.promise, onRemoteLine });
    expect(failure).toMatchObject({ code: "remote-other-protocol" });
    expect(lines).toEqual(["greeted", "#docker-over-ssh#tunnel#", expect.stringContaining('"protocol":1')]);
  });

  test.each([
    ["a command that has sent its hello", greeter],
    [
      "a command that is slow and does not notice the end of its stdin",
      ["sh", "-c", "echo greeted >&2; exec sleep 1000.357"],
    ],
    [
      "a command that still writes to stderr",
      ["sh", "-c", 'trap "echo ended >&2; exit" TERM; echo greeted >&2; while :; do sleep 0.1; done'],
    ],
  ])("is ended immediately when this side fails: %s", async (_, command) => {
    const stop = new AbortController();
    const reason = new Failure("image-not-found", "there is no image app:v2");
    const lines: string[] = [];
    const onRemoteLine = (line: string): void => {
      lines.push(line);
      stop.abort(reason);
    };
    // With the usual time for a command to end, this test would not finish.
    const options = { ready: new Promise(() => {}), signal: stop.signal, leaveTimeout: 600_000, onRemoteLine };
    expect((await run(command, options)).failure).toBe(reason);
    expect(lines).toEqual(["greeted"]);
  });
});

describe("the end of a remote command", () => {
  test("is awaited after success", async () => {
    const remote = spawnRemote(remoteProgram("never-answers.mjs"), () => {}, { leaveTimeout: 5_000 });
    remote.stdin.write("secret");
    await remote[Symbol.asyncDispose]();
    await remote[Symbol.asyncDispose]();
    expect([remote.stdin, remote.stdout].map(({ destroyed }) => destroyed)).toEqual([true, true]);
  });

  test("is not delayed by a process that the command leaves behind", async () => {
    const { failure, lines } = await run(remoteProgram("leaves-a-process.mjs"));
    const pid = pidOf(lines);
    expect(isRunning(pid)).toBe(true);
    process.kill(pid, "SIGKILL");
    expect(failure?.message).toContain("ended with status 255 before");
  });

  test("is forced after an abort, also if the command ignores SIGTERM", async () => {
    const stop = new AbortController();
    const reason = new Error("Ctrl-C");
    const lines: string[] = [];
    const onRemoteLine = (line: string): void => {
      lines.push(line);
      stop.abort(reason);
    };
    await expect(
      run(remoteProgram("ignores-sigterm.mjs"), { signal: stop.signal, onRemoteLine, leaveTimeout: 50 }),
    ).rejects.toBe(reason);
    expect(isRunning(pidOf(lines))).toBe(false);
  });

  test("does not change an unrelated failure", async () => {
    const remote = spawnRemote(remoteProgram("exits.mjs", "1"), () => {}, { leaveTimeout: 50 });
    const failure = new Failure("no-space", "the disk is full");
    expect(await remote.explain(failure)).toBe(failure);
    const bug = new TypeError("x is not a function");
    expect(await remote.explain(bug)).toBe(bug);
    await remote[Symbol.asyncDispose]();
  });
});
