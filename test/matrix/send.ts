import { rm, stat } from "node:fs/promises";
import { execa } from "execa";

/** Returns the command line `docker-over-ssh push … COMMAND` with a tee(1) that writes the sender's output to `copy`. */
export function pushLine(words: readonly string[], command: readonly string[], copy: string): string[] {
  return ["push", ...words, "sh", "-c", 'tee -a "$0" | "$@"', copy, ...command];
}

/** Returns the command line `docker-over-ssh pull … COMMAND`. The received bytes are appended to `copy`, so that it has those of both runs if the command runs twice. */
export function pullLine(words: readonly string[], command: readonly string[], copy: string): string[] {
  return ["pull", ...words, "sh", "-c", '"$@" | tee -a "$0"', copy, ...command];
}

/** Runs a command line. @returns its outcome, and the size of `copy`, which is then removed */
export async function send(
  line: readonly string[],
  copy: string,
  env: Record<string, string>,
): Promise<{ run: { exitCode: number | undefined; stdout: string; stderr: string }; bytes: number }> {
  const { exitCode, stdout, stderr } = await execa("docker-over-ssh", line, { env, reject: false, stdin: "ignore" });
  // The copy is missing if the image was missing and nothing was started.
  const { size = 0 } = (await stat(copy).catch(() => undefined)) ?? {};
  await rm(copy, { force: true });
  return { run: { exitCode, stdout, stderr }, bytes: size };
}
