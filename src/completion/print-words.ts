import { connectEngine } from "../engine/open/connect-engine.ts";
import { namedEndpoint } from "../engine/connect/endpoint.ts";
import { homeFolder } from "../files/cache-folder.ts";
import { runIdsInName } from "../run/run-id.ts";
import type { Context } from "../transfer.ts";
import type { CompletedCommand } from "./completed-command.ts";
import { nextWords } from "./next-words.ts";
import { sshHosts } from "./ssh-hosts.ts";

/** ms in which the engine has to list its images: a person waits for it with a finger on the key. */
const ENGINE_TIMEOUT = 700;

/** Prints the words that may come next, one a line. Never fails: then there are none. */
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
