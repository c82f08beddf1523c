import { registryCredentials } from "../credentials/registry-credentials.ts";
import { readSecret, type SecretSpec } from "../credentials/secrets.ts";
import { openAgent, type AgentSpec } from "../credentials/ssh-agents.ts";
import type { BuildAnswers } from "../engine/engine-builds.ts";
import type { Context } from "../transfer.ts";

/** The secrets and agents that the command line names. */
export interface NamedAnswers {
  secrets: readonly SecretSpec[];
  agents: readonly AgentSpec[];
}

/**
 * Returns what this side answers to a builder: the credentials of its docker config, and the secrets and agents that were named. Secrets are read, and
 * agents tried, at once: rejects with a `usage` Failure for one that is not there, before anything is sent.
 */
export async function answersFor(
  { secrets, agents }: NamedAnswers,
  { env, output }: Pick<Context, "env" | "output">,
): Promise<BuildAnswers> {
  const registries = registryCredentials({ env, warn: (warning) => output.warn(warning) });
  const values = new Map<string, Buffer>();
  for (const secret of secrets) values.set(secret.id, await readSecret(secret, env));
  for (const agent of agents) (await openAgent(agent, env)).destroy();
  return {
    credentials: async (host) => await registries.for(host),
    secret: async (id) => await Promise.resolve(values.get(id)),
    async agent(id) {
      const agent = agents.find((one) => one.id === id);
      if (agent === undefined) throw new Error(`no --ssh ${id} is given`);
      return await openAgent(agent, env);
    },
  };
}
