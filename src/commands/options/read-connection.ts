import { readFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { parseHost, type SshAddress } from "../../engine/connect/endpoint.ts";
import type { NonEmpty } from "../../non-empty.ts";
import { Failure } from "../../output/errors.ts";
import { shownCommand } from "../../output/secrets.ts";
import type { Connection, HostAddress } from "../../request.ts";
import { givenHostOptions, hostConnection, type HostOptions } from "./host-options.ts";
import { findProgram, isAddress } from "./read-words.ts";

/** An engine at the end of a command. */
const ENGINE = /\bsystem\s+dial-stdio$/;

/** `[USER@]HOST[:PORT]`, as in rsync and scp. */
const BARE_HOST = /^(?:[\w.-]+@)?[A-Za-z0-9](?:[\w.-]*[A-Za-z0-9])?(?::\d{1,5})?$/;

/** Returns the remote sides that COMMAND leads to: one, or several addresses. Throws a `usage` Failure like {@link readConnection}. */
export function readConnections(
  command: readonly string[],
  options: HostOptions,
  env: NodeJS.ProcessEnv,
): NonEmpty<Connection> {
  const [first, ...others] = new Set(command);
  if (first === undefined || !command.every(isAddress)) return [readConnection(command, options, env)];
  const read = (address: string): Connection => readConnection([address], options, env);
  return [read(first), ...others.map(read)];
}

/**
 * Finds out from COMMAND how this side reaches the other one:
 * - no command: this process is the spawned side;
 * - `ssh://[USER@]HOST[:PORT]`, `docker://CONTAINER`, `kubectl://NAMESPACE/POD[/CONTAINER]`: the best program there;
 * - one word that is not a program of this machine: `ssh://` is added;
 * - `… system dial-stdio`: an engine;
 * - any other command: docker-over-ssh.
 *
 * Throws a `usage` Failure for an invalid address, and for options of a host without one.
 */
export function readConnection(
  command: readonly string[],
  options: HostOptions = {},
  env: NodeJS.ProcessEnv = process.env,
): Connection {
  const [given = "", ...more] = command;
  if (isAddress(given)) return hostConnection(given, readAddress(given, more), options, env);
  if (command.length === 1 && isBareHost(given, env)) {
    return hostConnection(given, readAddress(`ssh://${given}`, []), options, env);
  }
  const [unused] = givenHostOptions(options);
  if (unused !== undefined && command.length === 0) {
    throw new Failure("usage", `${unused} is for a host, but no host is given`, {
      expected: "ssh://[USER@]HOST[:PORT] after the image",
      hint: `Name the host, or omit ${unused}.`,
    });
  }
  if (unused !== undefined) {
    throw new Failure("usage", `${unused} is for ssh://HOST, but a command is passed on unchanged`, {
      expected: "ssh://[USER@]HOST[:PORT] after the image",
      hint: 'Put its effect into the command, for instance ssh HOST "sudo docker system dial-stdio".',
    });
  }
  if (command.length === 0) return { kind: "spawned" };
  return { kind: ENGINE.test(command.join(" ")) ? "engine" : "command", words: command };
}

/** Returns whether a single word is a host. Throws a `usage` Failure if it may also be a program of this machine. */
function isBareHost(word: string, env: NodeJS.ProcessEnv): boolean {
  if (!BARE_HOST.test(word)) return false;
  const program = findProgram(word, env);
  if (program === undefined) return true;
  if (!isInSshConfig(word)) return false;
  throw new Failure("usage", `${word} is a host in the settings of ssh, but ${program} is a program`, {
    expected: "a word that can only mean one of them",
    hint: `Write ssh://${word} for the host, or ${program} for the program.`,
  });
}

/** Returns whether the user's ssh settings contain this host without wildcards. */
function isInSshConfig(host: string): boolean {
  try {
    const lines = readFileSync(join(homedir(), ".ssh/config"), "utf8").matchAll(/^[ \t]*host[ \t=]+(.*)$/gim);
    return [...lines].some(([, names = ""]) => names.split(/\s+/).includes(host));
  } catch {
    return false;
  }
}

function readAddress(given: string, more: readonly string[]): HostAddress {
  if (more.length > 0) {
    throw new Failure("usage", `${given} replaces the whole command, but \`${shownCommand(more)}\` follows it`, {
      expected: "an address, and nothing after it",
      hint: "For a command of your own: ssh HOST docker --host=unix:///PATH system dial-stdio",
    });
  }
  if (given.startsWith("docker://")) return readContainer(given);
  if (given.startsWith("kubectl://")) return readPod(given);
  const address = parseHost(given, "the remote side").address as SshAddress;
  if (address.socketPath === undefined) return address;
  throw new Failure("usage", `${given} names a socket, but only a machine can be named`, {
    expected: "ssh://[USER@]HOST[:PORT], and nothing after it",
    hint: "For a command of your own: ssh HOST docker --host=unix:///PATH system dial-stdio",
  });
}

/** docker://CONTAINER: a name or an ID (moby, `daemon/names`). */
function readContainer(given: string): HostAddress {
  const [, container] = /^docker:\/\/([a-zA-Z0-9][\w.-]*)$/.exec(given) ?? [];
  if (container !== undefined) return { protocol: "docker", container };
  throw new Failure("usage", `${given} does not name a container`, {
    expected: "docker://CONTAINER, with the container's name or ID",
    hint: "`docker ps` lists the containers.",
  });
}

/** kubectl://NAMESPACE/POD[/CONTAINER], each a DNS label or subdomain (RFC 1123). */
function readPod(given: string): HostAddress {
  const name = "([a-z0-9](?:[a-z0-9.-]*[a-z0-9])?)";
  const [, namespace, pod, container] = new RegExp(`^kubectl://${name}/${name}(?:/${name})?$`).exec(given) ?? [];
  if (namespace !== undefined && pod !== undefined)
    return { protocol: "kubectl", namespace, pod, ...(container !== undefined && { container }) };
  throw new Failure("usage", `${given} does not name a pod`, {
    expected: "kubectl://NAMESPACE/POD or kubectl://NAMESPACE/POD/CONTAINER",
    hint: "`kubectl get pods -A` lists the pods.",
  });
}
