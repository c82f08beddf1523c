import { once } from "node:events";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { askPassword } from "../../../../src/output/ask-password.ts";
import { outputTo } from "../../../../src/output/output.ts";
import { runRemoteCommand, withinAnswerTimeout } from "../../../../src/remote/login/remote-command.ts";
import { SUDO_PROMPT } from "../../../../src/remote/script/shell-words.ts";
import { SudoQuestion } from "../../../../src/remote/login/sudo-question.ts";
import { deferred } from "../../../../src/streams/deferred.ts";

vi.mock("../../../../src/output/ask-password.ts", () => ({ askPassword: vi.fn<typeof askPassword>() }));

/** Asks like sudo until the password is correct. */
const sudo = `
  process.stderr.write("${SUDO_PROMPT}\\n");
  process.stdin.on("data", (typed) => {
    if (String(typed) === "right\\n") return process.stdout.write("started");
    process.stderr.write("${SUDO_PROMPT}\\n");
  });`;

beforeEach(() => void vi.mocked(askPassword).mockReset());
afterEach(() => void vi.useRealTimers());

/** Runs the command until it has started. */
async function start(options: { sudo: { password?: string } }): Promise<void> {
  const context = { output: outputTo(() => {}), signal: new AbortController().signal, env: process.env };
  const names = { words: "ssh://prod", byHand: "", ...options };
  await using link = runRemoteCommand([process.execPath, "-e", sudo], names, { bwlimit: undefined }, context);
  await once(link.child.stdout, "data");
}

test("asks for sudo's password once for a command that runs twice", async () => {
  vi.mocked(askPassword).mockResolvedValue("right");
  const memory = {};
  await start({ sudo: memory });
  await start({ sudo: memory });
  expect(askPassword).toHaveBeenCalledTimes(1);
});

test("does not send a wrong password again", async () => {
  vi.mocked(askPassword).mockResolvedValueOnce("wrong").mockResolvedValue("right");
  await start({ sudo: {} });
  expect(askPassword).toHaveBeenCalledTimes(2);
  vi.mocked(askPassword).mockClear();
  await start({ sudo: { password: "of another host" } });
  expect(askPassword).toHaveBeenCalledTimes(1);
});

test.each(["the transfer is stopped", "the command ends"])("withdraws the question when %s", async (when) => {
  const asked = deferred<AbortSignal>();
  vi.mocked(askPassword).mockImplementation(async (_, signal) => {
    asked.resolve(signal);
    return await new Promise((_resolve, reject) =>
      signal.addEventListener("abort", () => reject(new Error("stopped"))),
    );
  });
  const transfer = new AbortController();
  const context = { output: outputTo(() => {}), signal: transfer.signal, env: process.env };
  const names = { words: "ssh://prod", byHand: "", sudo: {} };
  await using link = runRemoteCommand([process.execPath, "-e", sudo], names, { bwlimit: undefined }, context);
  const signal = await asked.promise;
  expect(signal.aborted).toBe(false);
  if (when === "the transfer is stopped") transfer.abort();
  else await link[Symbol.asyncDispose]();
  expect(signal.aborted).toBe(true);
});

test("pauses the time limit for the answer while the question is open, and starts it again afterwards", async () => {
  vi.useFakeTimers();
  const typed = deferred<string>();
  vi.mocked(askPassword).mockReturnValue(typed.promise);
  const { signal } = new AbortController();
  const question = new SudoQuestion("prod", {}, signal);
  const link = { words: "ssh://prod", watchQuestions: (watcher: (isOpen: boolean) => void) => question.watch(watcher) };
  let failure: unknown;
  const silent = withinAnswerTimeout(link, { timeout: 60_000 }, signal, async (stop) => {
    await new Promise((resolve) => stop.addEventListener("abort", resolve));
    failure = stop.reason;
  });
  await vi.advanceTimersByTimeAsync(59_000);
  const answered = question.answer(() => {});
  await vi.advanceTimersByTimeAsync(600_000);
  expect(failure).toBeUndefined();
  typed.resolve("right");
  await answered;
  await vi.advanceTimersByTimeAsync(59_000);
  expect(failure).toBeUndefined();
  await vi.advanceTimersByTimeAsync(1000);
  await silent;
  expect(failure).toMatchObject({
    code: "remote-no-answer",
    expected: "a login, followed by a Docker engine or docker-over-ssh",
    hint: "Run the command by itself to see what it waits for. push, pull and build wait longer with --timeout SECONDS.",
  });
});

test("names a missing local program in a message that no shell translates", async () => {
  const context = { output: outputTo(() => {}), signal: new AbortController().signal, env: process.env };
  const names = { words: "ssh://prod", byHand: "" };
  await using link = runRemoteCommand(["no-such-program", "prod"], names, { bwlimit: undefined }, context);
  expect(await link.child.exit()).toEqual({ status: 127, signal: undefined });
  expect(link.lastLines()).toBe("exec: no-such-program: not found");
});
