import { once } from "node:events";
import { stat } from "node:fs/promises";
import { connect } from "node:net";
import type { Duplex } from "node:stream";
import { Failure, messageOf } from "../output/errors.ts";
import { readOnlyAgent } from "./read-only-agent.ts";

/** An agent of --ssh. */
export interface AgentSpec {
  id: string;
  /** The path of its socket; undefined for the agent of this login (SSH_AUTH_SOCK). */
  socket: string | undefined;
}

/**
 * Parses `--ssh` as `docker build` does: `default`, `ID` or `ID=SOCKET`.
 *
 * @throws Failure `usage` for several paths: BuildKit would create an agent from these key files, which is not supported
 */
export function parseAgent(text: string): AgentSpec {
  const equals = text.indexOf("=");
  const [id, path] = equals === -1 ? [text, ""] : [text.slice(0, equals), text.slice(equals + 1)];
  if (path.includes(",")) refuseKeys(text);
  return { id: id || "default", socket: path || undefined };
}

/**
 * Connects to an agent. The connection can list keys and sign, nothing else: BuildKit limits an agent in the same way. The caller owns the
 * connection.
 *
 * @throws Failure `usage`
 */
export async function openAgent({ id, socket: named }: AgentSpec, env: NodeJS.ProcessEnv): Promise<Duplex> {
  const path = named ?? env["SSH_AUTH_SOCK"];
  if (!path) {
    throw new Failure("usage", `there is no ssh agent for --ssh ${id}: SSH_AUTH_SOCK is not set`, {
      expected: "a running agent, or the path of its socket",
      hint: 'Start one with eval "$(ssh-agent)", and add a key with ssh-add.',
    });
  }
  try {
    if ((await stat(path)).isFile()) refuseKeys(path);
    const socket = connect(path);
    await once(socket, "connect");
    return readOnlyAgent(socket);
  } catch (cause) {
    if (cause instanceof Failure) throw cause;
    throw new Failure("usage", `the ssh agent of --ssh ${id} cannot be reached: ${messageOf(cause)}`, {
      expected: "the socket of a running agent",
      hint: "Check SSH_AUTH_SOCK, or name the socket: --ssh ID=SOCKET.",
      cause,
    });
  }
}

function refuseKeys(path: string): never {
  throw new Failure("usage", `--ssh accepts the socket of an agent, but ${path} is a key`, {
    expected: "default, ID or ID=SOCKET",
    hint: "Add the key to an ssh agent with ssh-add KEY, and use --ssh default.",
  });
}
