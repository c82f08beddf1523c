import { lstat } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { KubeConfig, V1Pod } from "@kubernetes/client-node";
import { Failure, messageOf } from "docker-over-ssh/builds";
import type { Pod } from "./pod-tenant.ts";

/** The address of a cluster's API server, for a pod with a service account. */
export interface ApiServer {
  /** e.g. `https://10.96.0.1:443` */
  url: string;
  /** The folder of the service account, with `token` and `ca.crt` */
  account: string;
  /** The node whose pods are listed */
  node: string;
}

/** The names of the pods of a node. Disposing ends the connection to the API server. */
export interface PodDirectory extends AsyncDisposable {
  /** Returns undefined for a pod that the API server has not listed */
  find(uid: string): Pick<Pod, "name" | "namespace"> | undefined;
}

export interface DirectoryOptions {
  /** Called after each change */
  onChange: () => void;
  /** Called once each time the API server stops answering */
  onProblem: (problem: string) => void;
  /** ms between two attempts to reach the API server */
  pause?: number;
}

const ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount";
/** A static pod has another UID on its node than at the API server, which stores the node's UID as an annotation. */
const STATIC_UID = "kubernetes.io/config.mirror";
const PAUSE = 5_000;

/**
 * Finds the API server from the environment of a pod and its token. Returns undefined without a token, or without
 * NODE_NAME: the guard would have to list all pods of the cluster, most of which are on other nodes.
 */
export async function findApiServer(env: NodeJS.ProcessEnv, account = ACCOUNT): Promise<ApiServer | undefined> {
  const { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port = "443", NODE_NAME: node } = env;
  if (!host || !node) return undefined;
  const hasToken = await lstat(join(account, "token")).then(
    () => true,
    () => false,
  );
  return hasToken ? { url: `https://${host.includes(":") ? `[${host}]` : host}:${port}`, account, node } : undefined;
}

/**
 * Follows the pods of a node. Resolves when they are known, or when the first request has failed: in that case they are
 * reported later.
 */
export async function openPodDirectory(
  server: ApiServer,
  { onChange, onProblem, pause = PAUSE }: DirectoryOptions,
): Promise<PodDirectory> {
  const { CoreV1Api, ListWatch, Watch, config } = await configure(server);
  const api = config.makeApiClient(CoreV1Api);
  const fieldSelector = `spec.nodeName=${server.node}`;
  const list = async () => await api.listPodForAllNamespaces({ fieldSelector });
  const informer = new ListWatch<V1Pod>("/api/v1/pods", new Watch(config), list, false, undefined, fieldSelector);
  const stop = new AbortController();
  let isAway = false;
  let losses = 0;
  const start = async (): Promise<void> => {
    const before = losses;
    await informer.start().catch(lost); // most errors reach only `lost`
    if (losses > before) return;
    isAway = false;
    onChange();
  };
  const lost = (error: unknown): void => {
    losses++;
    if (stop.signal.aborted) return;
    if (!isAway) onProblem(`the Kubernetes API server ${server.url} does not answer: ${reasonOf(error)}`);
    isAway = true;
    void sleep(pause, undefined, { signal: stop.signal, ref: false }).then(start, () => {});
  };
  informer.on("error", lost);
  informer.on("change", onChange);
  await start();
  return {
    find(uid) {
      const found = informer.list().find((pod) => uidOnNode(pod) === uid);
      return found && { name: found.metadata?.name, namespace: found.metadata?.namespace };
    },
    async [Symbol.asyncDispose]() {
      stop.abort();
      await informer.stop();
    },
  };
}

const uidOnNode = ({ metadata }: V1Pod): string | undefined => metadata?.annotations?.[STATIC_UID] ?? metadata?.uid;

/** The client's error messages contain the whole answer. */
function reasonOf(error: unknown): string {
  const { code } = error as { code?: unknown };
  return typeof code === "number" ? `status ${code}` : (messageOf(error).split("\n", 1)[0] ?? "");
}

async function configure({ url, account }: ApiServer): Promise<Client & { config: KubeConfig }> {
  const client = await loadClient();
  const config = new client.KubeConfig();
  const isSecure = url.startsWith("https:");
  config.loadFromOptions({
    // Without TLS there is nothing to verify; the client insists on one of the two.
    clusters: [
      { name: "cluster", server: url, ...(isSecure ? { caFile: join(account, "ca.crt") } : { skipTLSVerify: true }) },
    ],
    // The client reads it again at intervals: a token is valid for an hour.
    users: [{ name: "guard", authProvider: { name: "tokenFile", config: { tokenFile: join(account, "token") } } }],
    contexts: [{ name: "guard", cluster: "cluster", user: "guard" }],
    currentContext: "guard",
  });
  return { ...client, config };
}

type Client = typeof import("@kubernetes/client-node");

/** Optional, because it takes some 60 MB. */
async function loadClient(): Promise<Client> {
  try {
    return await import("@kubernetes/client-node");
  } catch (error) {
    throw new Failure(
      "usage",
      "the guard queries the Kubernetes API server for pods, and @kubernetes/client-node is not installed",
      {
        expected: "@kubernetes/client-node beside docker-over-ssh-server",
        hint: "npm install --global @kubernetes/client-node@1, or unset NODE_NAME, to identify pods only by their folders.",
        cause: error,
      },
    );
  }
}
