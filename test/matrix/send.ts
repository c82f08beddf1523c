import { rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { execa } from "execa";

/**
 * A transfer, as a user types it, but for a tee(1) in its way: it counts what the sending side writes.
 * @param words that name the image, after `push`
 * @param command the receiving side, for a shell that has the image's name as `$1`
 */
export async function send(
  words: string[],
  name: string,
  { command, env, folder }: { command: string; env: Record<string, string>; folder: string },
): Promise<{ run: { exitCode: number | undefined; stdout: string; stderr: string }; bytes: number }> {
  const copy = join(folder, "sent");
  const args = ["push", ...words, "sh", "-c", `tee "$0" | ${command}`, copy, name];
  const { exitCode, stdout, stderr } = await execa("docker-over-ssh", args, { env, reject: false, stdin: "ignore" });
  // Not there when the image was not, and nothing was started.
  const { size = 0 } = (await stat(copy).catch(() => undefined)) ?? {};
  await rm(copy, { force: true });
  return { run: { exitCode, stdout, stderr }, bytes: size };
}
