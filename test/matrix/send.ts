import { rm, stat } from "node:fs/promises";
import { execa } from "execa";

/** `docker-over-ssh push … COMMAND`, as a user types it, but for a tee(1) in its way: `copy` gets what is sent. */
export function pushLine(words: readonly string[], command: readonly string[], copy: string): string[] {
  return ["push", ...words, "sh", "-c", 'tee -a "$0" | "$@"', copy, ...command];
}

/** `docker-over-ssh pull … COMMAND`, and `copy` gets what is received. A command that is run twice is copied to the same file. */
export function pullLine(words: readonly string[], command: readonly string[], copy: string): string[] {
  return ["pull", ...words, "sh", "-c", '"$@" | tee -a "$0"', copy, ...command];
}

/** Runs such a line. @returns how it went, and the size of `copy`, which is gone then */
export async function send(
  line: readonly string[],
  copy: string,
  env: Record<string, string>,
): Promise<{ run: { exitCode: number | undefined; stdout: string; stderr: string }; bytes: number }> {
  const { exitCode, stdout, stderr } = await execa("docker-over-ssh", line, { env, reject: false, stdin: "ignore" });
  // Not there when the image was not, and nothing was started.
  const { size = 0 } = (await stat(copy).catch(() => undefined)) ?? {};
  await rm(copy, { force: true });
  return { run: { exitCode, stdout, stderr }, bytes: size };
}
