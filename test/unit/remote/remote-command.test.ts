import { once } from "node:events";
import { beforeEach, expect, test, vi } from "vitest";
import { askPassword } from "../../../src/output/ask-password.ts";
import { outputTo } from "../../../src/output/output.ts";
import { runRemoteCommand } from "../../../src/remote/remote-command.ts";
import { SUDO_PROMPT } from "../../../src/remote/shell-words.ts";

vi.mock("../../../src/output/ask-password.ts", () => ({ askPassword: vi.fn<typeof askPassword>() }));

/** Asks as sudo does, until the password is right. */
const sudo = `
  process.stderr.write("${SUDO_PROMPT}\\n");
  process.stdin.on("data", (typed) => {
    if (String(typed) === "right\\n") return process.stdout.write("started");
    process.stderr.write("${SUDO_PROMPT}\\n");
  });`;

beforeEach(() => void vi.mocked(askPassword).mockReset());

/** Runs the command until it has started. */
async function start(options: { sudo: { password?: string } }): Promise<void> {
  const context = { output: outputTo(() => {}), signal: new AbortController().signal, env: process.env };
  const names = { words: "ssh://prod", byHand: "", ...options };
  await using link = runRemoteCommand([process.execPath, "-e", sudo], names, { bwlimit: undefined }, context);
  await once(link.child.stdout, "data");
}

test("sudo's password is asked for once, for a command that runs twice", async () => {
  vi.mocked(askPassword).mockResolvedValue("right");
  const memory = {};
  await start({ sudo: memory });
  await start({ sudo: memory });
  expect(askPassword).toHaveBeenCalledTimes(1);
});

test("a wrong password is not given again", async () => {
  vi.mocked(askPassword).mockResolvedValueOnce("wrong").mockResolvedValue("right");
  await start({ sudo: {} });
  expect(askPassword).toHaveBeenCalledTimes(2);
  vi.mocked(askPassword).mockClear();
  await start({ sudo: { password: "of another host" } });
  expect(askPassword).toHaveBeenCalledTimes(1);
});
