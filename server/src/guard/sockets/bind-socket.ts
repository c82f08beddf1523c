import { setMaxListeners } from "node:events";
import { basename, dirname } from "node:path";
import type { Socket } from "node:net";
import { messageOf } from "docker-over-ssh/builds";
import type { Quotas } from "../policy/policy.ts";
import type { Refusal } from "../refusal.ts";
import type { TenantEndpoint } from "../tenant.ts";
import { limitConnections } from "./connection-limit.ts";
import { openFolder } from "./folder.ts";
import { keepInPlace } from "./keep-in-place.ts";
import { listenIn, refuseOthers, type ListeningSocket } from "./listening-socket.ts";

/** A tenant's socket. Disposing closes it, and destroys its connections. */
export interface BoundSocket extends AsyncDisposable {
  /** Removes the socket, if it still belongs to the guard, and accepts no more connections. Open connections stay. */
  close(): Promise<void>;
  /**
   * Aborted when the folder of the socket, and therefore the tenant, was removed. The socket is closed in that case.
   */
  readonly gone: AbortSignal;
}

export interface BindOptions {
  /** For the operator. Called once if a tenant removes its socket, and once if the socket cannot be restored. */
  onProblem: (problem: string) => void;
  /** Closes the socket */
  signal: AbortSignal;
  /** Called for each connection, because quotas change with the configuration. Default: the quotas of `endpoint` */
  quotas?: (() => Pick<Quotas, "connections">) | undefined;
  /** Called for each connection beyond the quota, which is closed */
  onRefused?: ((refusal: Refusal) => void) | undefined;
  /** ms between two checks of the socket if changes of its folder are not reported */
  interval?: number;
}

/**
 * Any user of a pod, with any ID, may connect: mode 0666. The folders above it control who else can reach the folder.
 */
const POD_UMASK = 0o111;
/** The user and the group of the guard may connect: mode 0660 */
const OPERATOR_UMASK = 0o117;
const CHECK_EVERY = 10_000;

/**
 * Listens at a tenant's socket, and restores it when the tenant removes or replaces it. In a tenant's folder it
 * replaces any existing file.
 *
 * @param onConnection owns the connection, which has an error handler
 * @throws Failure `usage` if the folder does not exist, or if the path exists in an operator's folder; the file
 * system's errors
 */
export async function bindSocket(
  endpoint: TenantEndpoint,
  onConnection: (connection: Socket) => void,
  { onProblem, signal, quotas = () => endpoint.tenant.quotas, onRefused, interval = CHECK_EVERY }: BindOptions,
): Promise<BoundSocket> {
  const { socket: path, isInTenantsFolder, tenant } = endpoint;
  const name = basename(path);
  const gone = new AbortController();
  const connections = limitConnections(() => quotas().connections, onConnection, onRefused);
  const folder = await openFolder(dirname(path), !isInTenantsFolder);
  const put = async (): Promise<ListeningSocket> =>
    await listenIn(folder, name, isInTenantsFolder ? POD_UMASK : OPERATOR_UMASK, connections.take);
  let listening: ListeningSocket;
  try {
    signal.throwIfAborted();
    if (!isInTenantsFolder) await refuseOthers(folder, name, path);
    listening = await put();
  } catch (error) {
    await folder[Symbol.asyncDispose]();
    throw error;
  }

  const reportOnce = once(onProblem);
  let isOver = false;
  let repairing = Promise.resolve(false);
  const repair = async (): Promise<boolean> => {
    if (isOver || listening.isInPlace()) return false;
    if (!folder.isInPlace()) {
      gone.abort();
      void close();
      return false;
    }
    reportOnce(
      "removed",
      `${path}: the tenant ${tenant.id} removes or replaces its socket; the guard restores it each time`,
    );
    try {
      const before = listening;
      listening = await put();
      before.close();
    } catch (error) {
      reportOnce("lost", `${path}: the socket of the tenant ${tenant.id} cannot be restored: ${messageOf(error)}`);
    }
    return true;
  };
  const keeper = keepInPlace({ folder: folder.at("."), interval, repair: async () => await (repairing = repair()) });
  let closed: Promise<void> | undefined;
  const close = (): Promise<void> => (closed ??= end());
  const onAbort = (): void => void close();
  const end = async (): Promise<void> => {
    isOver = true;
    signal.removeEventListener("abort", onAbort);
    keeper[Symbol.dispose]();
    await repairing; // it may be restoring the socket
    listening.close();
    await folder[Symbol.asyncDispose]();
  };
  setMaxListeners(0, signal); // listeners of all tenants
  signal.addEventListener("abort", onAbort);
  return {
    gone: gone.signal,
    close,
    async [Symbol.asyncDispose]() {
      await close();
      connections.destroyAll();
    },
  };
}

function once(report: (problem: string) => void): (key: string, problem: string) => void {
  const reported = new Set<string>();
  return (key, problem) => {
    if (reported.has(key)) return;
    reported.add(key);
    report(problem);
  };
}
