import { registryCredentials } from "../credentials/registry-credentials.ts";
import { readSecret, type SecretSpec } from "../credentials/secrets.ts";
import { openAgent, type AgentSpec } from "../credentials/ssh-agents.ts";
import type { BuildAnswers } from "../engine/engine-builder.ts";
import type { Context } from "../transfer.ts";

/** The secrets and agents that the command line names. */
export interface NamedAnswers {
  secrets: readonly SecretSpec[];
  agents: readonly AgentSpec[];
}

/**
 * Returns this side's answers to a builder: the credentials of its docker config, and the named secrets and agents. Reads secrets and tries agents
 * at once, to reject with a `usage` Failure before anything is sent if one is missing.
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
      const agent = agents.find((candidate) => candidate.id === id);
      if (agent === undefined) throw new Error(`no --ssh ${id} is given`);
      return await openAgent(agent, env);
    },
  };
}
