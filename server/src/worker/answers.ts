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
  /** Those that came with the job */
  credentials: Credentials | undefined;
  /** For the docker config of the server's user */
  env: NodeJS.ProcessEnv;
  /** Gets all that are given out. */
  masks: Masks;
  /** Takes what is wrong with the server's own docker config. */
  warn: (text: string) => void;
}

/**
 * Returns what a builder and a push get to know: for the registry in the job's name the credentials that came with the job, and those alone; for
 * others, and where none came, those of the server's docker config. Neither secrets nor agents.
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
