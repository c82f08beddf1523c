import {
  parseReference,
  registryCredentials,
  registryKey,
  type BuildAnswers,
  type Credentials,
} from "docker-over-ssh/builds";
import type { Masks } from "./masks.ts";

export interface AnswerOptions {
  /** The image's name */
  name: string;
  /** The credentials that were submitted with the job */
  credentials: Credentials | undefined;
  /** The environment that locates the docker config of the server's user */
  env: NodeJS.ProcessEnv;
  /** Gets all credentials that are passed on. */
  masks: Masks;
  /** Called with problems in the server's own docker config. */
  warn: (text: string) => void;
}

/**
 * Returns the credentials for a builder and a push. For the registry in the job's name, only the credentials of the
 * job; for other registries, or if the job has none, those of the server's docker config. Provides neither secrets nor
 * ssh agents.
 */
export function answersFor({ name, credentials, env, masks, warn }: AnswerOptions): BuildAnswers {
  const own = registryKey(parseReference(name).domain);
  const registries = registryCredentials({
    env,
    warn: (warning) => warn(`${warning.code}${"error" in warning ? `: ${warning.error}` : ""}`),
  });
  return {
    async credentials(host) {
      const found = credentials !== undefined && registryKey(host) === own ? credentials : await registries.for(host);
      if (found !== undefined) masks.add(found);
      return found;
    },
    secret: async () => undefined,
    agent: async () => await Promise.reject(new Error("the service has no ssh agents")),
  };
}
