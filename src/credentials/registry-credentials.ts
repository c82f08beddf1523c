import { homedir } from "node:os";
import { join } from "node:path";
import type { Credentials } from "../engine/credentials.ts";
import type { Warning } from "../output/events.ts";
import { askHelper, HELPER_TIMEOUT, HelperFailure } from "./credential-helper.ts";
import {
  type AuthFile,
  fileCredentials,
  hasCredentials,
  helperFor,
  parseAuthFile,
  readAuthFile,
  UnreadableAuthFile,
} from "./auth-file.ts";
import { registryKey } from "./registry-host.ts";

/** The user's credentials for registries. */
export interface RegistryCredentials {
  /**
   * Returns the credentials for a registry; undefined if there are none, or if a file or a helper fails: a build may not need them.
   *
   * @param host with or without port and scheme, e.g. `registry.example.com:5000`, `docker.io`, `https://index.docker.io/v1/`
   */
  for(host: string): Promise<Credentials | undefined>;
  /** Returns whether there may be credentials. Queries no helper. */
  hasAny(): Promise<boolean>;
}

export interface CredentialsOptions {
  env: NodeJS.ProcessEnv;
  /** Receives a warning about a file or a helper, once for each. */
  warn: (warning: Warning) => void;
  /** ms. Default: 60 s */
  helperTimeout?: number;
}

/** A source of credentials. */
interface CredentialSource {
  /** Shown in warnings */
  name: string;
  read: () => Promise<AuthFile | undefined>;
}

/**
 * Returns the credentials of the user of this process, as the docker CLI finds them: in DOCKER_AUTH_CONFIG, in the docker config, or
 * through its credential helpers. If these have none, reads the files of Podman (containers-auth.json(5)). Looks up each registry once.
 */
export function registryCredentials({
  env,
  warn,
  helperTimeout: timeout = HELPER_TIMEOUT,
}: CredentialsOptions): RegistryCredentials {
  const warned = new Set<string>();
  const known = new Map<string, Promise<Credentials | undefined>>();
  const warnOnce = (about: string, warning: Warning): void => {
    if (!warned.has(about)) warn(warning);
    warned.add(about);
  };

  const read = async ({ name, read: open }: CredentialSource): Promise<AuthFile | undefined> => {
    try {
      return await open();
    } catch (error) {
      if (!(error instanceof UnreadableAuthFile)) throw error;
      warnOnce(name, { code: "credentials-unreadable", file: name, error: error.message });
      return undefined;
    }
  };

  const ask = async (helper: string, key: string): Promise<Credentials | undefined> => {
    try {
      return await askHelper(helper, key, { env, timeout });
    } catch (error) {
      if (!(error instanceof HelperFailure)) throw error;
      const program = `docker-credential-${helper}`;
      warnOnce(program, { code: "credential-helper-failed", helper: program, registry: key, error: error.message });
      return undefined;
    }
  };

  const find = async (key: string): Promise<Credentials | undefined> => {
    for (const source of sourcesOf(env)) {
      const file = await read(source);
      if (file === undefined) continue;
      const helper = helperFor(file, key);
      const found = helper === undefined ? fileCredentials(file, key) : await ask(helper, key);
      if (found !== undefined) return found;
    }
    return undefined;
  };

  return {
    for: (host) => {
      const key = registryKey(host);
      const found = known.get(key) ?? find(key);
      known.set(key, found);
      return found;
    },
    hasAny: async () => {
      const files = await Promise.all(sourcesOf(env).map(read));
      return files.some((file) => file !== undefined && hasCredentials(file));
    },
  };
}

/** Returns the sources, highest precedence first. */
function sourcesOf(env: NodeJS.ProcessEnv): CredentialSource[] {
  const home = env["HOME"] || homedir();
  const { DOCKER_AUTH_CONFIG: given, REGISTRY_AUTH_FILE: podmanFile, XDG_RUNTIME_DIR: runtime } = env;
  const files = [
    join(env["DOCKER_CONFIG"] || join(home, ".docker"), "config.json"),
    ...(podmanFile
      ? [podmanFile]
      : [
          ...(runtime ? [join(runtime, "containers/auth.json")] : []),
          join(env["XDG_CONFIG_HOME"] || join(home, ".config"), "containers/auth.json"),
        ]),
  ];
  return [
    ...(given ? [{ name: "DOCKER_AUTH_CONFIG", read: () => Promise.resolve().then(() => parseAuthFile(given)) }] : []),
    ...files.map((path) => ({ name: path, read: () => readAuthFile(path) })),
  ];
}
