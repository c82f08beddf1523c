import { connectEngine } from "../engine/open/connect-engine.ts";
import { namedEndpoint } from "../engine/connect/endpoint.ts";
import { homeFolder } from "../files/cache-folder.ts";
import { runIdsInName } from "../run/run-id.ts";
import type { Context } from "../transfer.ts";
import type { CompletedCommand } from "./completed-command.ts";
import { nextWords } from "./next-words.ts";
import { sshHosts } from "./ssh-hosts.ts";

/** ms within which the engine must list its images, because a person is waiting for the completion. */
const ENGINE_TIMEOUT = 700;

/** Prints the possible next words, one per line. Prints nothing on an error, and never fails. */
export async function printWords(
  typed: readonly string[],
  commands: readonly CompletedCommand[],
  { env, signal }: Context,
): Promise<void> {
  const images = async (): Promise<string[]> => {
    try {
      const either = AbortSignal.any([signal, AbortSignal.timeout(ENGINE_TIMEOUT)]);
      await using engine = await connectEngine(namedEndpoint(undefined, env), env, either);
      return (await engine.listReferences()).filter((name) => runIdsInName(name).length === 0);
    } catch {
      return [];
    }
  };
  const words = await nextWords(typed, commands, { images, hosts: () => sshHosts(homeFolder(env) ?? "/") });
  if (words.length > 0) process.stdout.write(`${words.join("\n")}\n`);
}
