import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { expect, test, vi } from "vitest";
import { kubeletPods } from "../../../../src/guard/tenants/kubelet-pods.ts";
import { findApiServer, openPodDirectory, type ApiServer } from "../../../../src/guard/tenants/pod-directory.ts";
import { temporaryFolder } from "../sockets/socket-bed.ts";
import { DEFAULTS, follow } from "./changes-bed.ts";
import { kubelet, UID } from "./pods-bed.ts";

interface PodObject {
  metadata: { name: string; namespace: string; uid: string; annotations?: Record<string, string> };
}

const pod = (uid: string, name: string, annotations?: Record<string, string>): PodObject => ({
  metadata: { name, namespace: "ci", uid, ...(annotations && { annotations }) },
});

/** A stand-in for the API server of Kubernetes: it lists pods, and sends events to watchers. */
interface StandIn extends AsyncDisposable {
  server: ApiServer;
  requests: IncomingMessage[];
  pods: PodObject[];
  send(type: "ADDED" | "DELETED", object: PodObject): void;
  fail: boolean;
}

async function apiServer(): Promise<StandIn> {
  const account = await temporaryFolder();
  writeFileSync(join(account.path, "token"), "secret-token");
  const watching: ServerResponse[] = [];
  const http = createServer((request, response) => {
    state.requests.push(request);
    response.setHeader("content-type", "application/json");
    if (state.fail) return response.writeHead(503).end("{}");
    if (!request.url?.includes("watch=true")) {
      return response.end(JSON.stringify({ kind: "PodList", metadata: { resourceVersion: "1" }, items: state.pods }));
    }
    watching.push(response);
    return response.flushHeaders();
  }).listen(0, "127.0.0.1");
  await once(http, "listening");
  const url = `http://127.0.0.1:${(http.address() as AddressInfo).port}`;
  const state: StandIn = {
    server: { url, account: account.path, node: "node-1" },
    requests: [],
    pods: [],
    fail: false,
    send(type, object) {
      for (const response of watching) response.write(`${JSON.stringify({ type, object })}\n`);
    },
    async [Symbol.asyncDispose]() {
      http.closeAllConnections();
      http.close();
      await account[Symbol.asyncDispose]();
    },
  };
  return state;
}

const ignore = (): void => {};

test("knows pods of the node by their UID, with the token of the service account", async () => {
  await using api = await apiServer();
  api.pods = [pod(UID, "builder"), pod("mirror", "static", { "kubernetes.io/config.mirror": "5f0c2d" })];
  await using directory = await openPodDirectory(api.server, { onChange: ignore, onProblem: ignore });
  expect(directory.find(UID)).toEqual({ name: "builder", namespace: "ci" });
  expect(directory.find("5f0c2d")).toEqual({ name: "static", namespace: "ci" });
  expect(directory.find("other")).toBeUndefined();
  const [list] = api.requests;
  expect(new URL(list?.url ?? "", api.server.url).searchParams.get("fieldSelector")).toBe("spec.nodeName=node-1");
  expect(list?.headers.authorization).toBe("Bearer secret-token");
  await vi.waitFor(() => expect(api.requests[1]?.url).toContain("watch=true"));
  expect(api.requests[1]?.url).toContain("fieldSelector=spec.nodeName");
});

test("reports an unavailable API server once, and retries", async () => {
  await using api = await apiServer();
  api.fail = true;
  const problems: string[] = [];
  const options = { onChange: ignore, onProblem: (problem: string) => void problems.push(problem), pause: 5 };
  await using directory = await openPodDirectory(api.server, options);
  await vi.waitFor(() => expect(api.requests.length).toBeGreaterThan(3));
  expect(problems).toEqual([expect.stringMatching(/^the Kubernetes API server http\S+ does not answer: status 503$/)]);
  api.fail = false;
  api.pods = [pod(UID, "builder")];
  await vi.waitFor(() => expect(directory.find(UID)).toBeDefined());
});

test("gives a pod of the kubelet's folder its name from the API server, even if it arrives later", async () => {
  await using api = await apiServer();
  await using folder = await kubelet();
  folder.emptyDir(UID);
  const options = { folder: folder.path, volume: "docker-socket", defaults: DEFAULTS, server: api.server };
  await using found = follow(kubeletPods({ ...options, cgroupRoot: "/nowhere", interval: 1e6 }));
  await found.ready;
  expect(found.endpoints.get(UID)?.tenant.labels).toEqual({ "io.kubernetes.pod.uid": UID });
  await vi.waitFor(() => expect(api.requests).toHaveLength(2));
  api.send("ADDED", pod(UID, "builder"));
  await vi.waitFor(() =>
    expect(found.endpoints.get(UID)?.tenant.labels).toEqual({
      "io.kubernetes.pod.uid": UID,
      "io.kubernetes.pod.name": "builder",
      "io.kubernetes.pod.namespace": "ci",
    }),
  );
  expect(found.reports).toHaveLength(2);
});

test("finds the API server by the environment of a pod, its token, and the name of its node", async () => {
  await using account = await temporaryFolder();
  const env = { KUBERNETES_SERVICE_HOST: "fd00::1", KUBERNETES_SERVICE_PORT: "6443", NODE_NAME: "node-1" };
  await expect(findApiServer(env, account.path)).resolves.toBeUndefined();
  writeFileSync(join(account.path, "token"), "");
  const { NODE_NAME: _, ...withoutNode } = env;
  await expect(findApiServer(withoutNode, account.path)).resolves.toBeUndefined();
  await expect(findApiServer(env, account.path)).resolves.toEqual({
    url: "https://[fd00::1]:6443",
    account: account.path,
    node: "node-1",
  });
});
