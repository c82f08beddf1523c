import { expect, test } from "vitest";
import { hold, HOLD } from "../../../../src/guard/buildah/users.ts";

test("a holder has the process ID of its shell, and ends when it is disposed", async () => {
  const holder = await hold(["sh", "-c", HOLD], process.env);
  expect(process.kill(holder.pid, 0)).toBe(true);
  holder[Symbol.dispose]();
  await expect.poll(() => isRunning(holder.pid)).toBe(false);
});

test("a command that fails is reported with its own words", async () => {
  const failed = hold(["sh", "-c", "echo unshare failed: Operation not permitted >&2; exit 1"], process.env);
  await expect(failed).rejects.toThrow("unshare failed: Operation not permitted");
  await expect(hold(["sh", "-c", "exit 1"], process.env)).rejects.toThrow("sh has ended");
  await expect(hold(["no-such-program"], process.env)).rejects.toThrow("ENOENT");
});

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}
