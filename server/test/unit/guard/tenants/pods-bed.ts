import { mkdirSync } from "node:fs";
import type { ServerResponse } from "node:http";
import { join } from "node:path";
import { answer, fakeEngine, type FakeEngine } from "../../../../../test/unit/engine/fake-engine.ts";
import { temporaryFolder } from "../sockets/socket-bed.ts";

export const UID = "0a1b2c3d-1111-4222-8333-444455556666";

/** A kubelet's folder. */
export interface Kubelet extends AsyncDisposable {
  path: string;
  /** Creates an emptyDir. Returns its path */
  emptyDir(uid: string, name?: string): string;
}

export async function kubelet(): Promise<Kubelet> {
  const folder = await temporaryFolder();
  return {
    path: folder.path,
    emptyDir(uid, name = "docker-socket") {
      const path = join(folder.path, "pods", uid, "volumes/kubernetes.io~empty-dir", name);
      mkdirSync(path, { recursive: true });
      return path;
    },
    [Symbol.asyncDispose]: folder[Symbol.asyncDispose],
  };
}

export interface Container {
  Id: string;
  State: string;
  Labels: Record<string, string>;
  Mounts: { Type: string; Source: string; Destination: string; RW: boolean }[];
}

export function container(
  Id: string,
  Source?: string,
  { uid = UID, ...over }: Partial<Container["Mounts"][0]> & { uid?: string } = {},
): Container {
  const mount = { Type: "bind", Source: Source ?? "", Destination: "/var/run/docker", RW: true, ...over };
  return {
    Id,
    State: "running",
    Labels: {
      "io.kubernetes.pod.uid": uid,
      "io.kubernetes.pod.name": "builder",
      "io.kubernetes.pod.namespace": "ci",
      "io.kubernetes.container.name": "main",
    },
    Mounts: Source === undefined ? [] : [mount],
  };
}

/** A stand-in for an engine with containers of pods. */
export interface PodEngine extends AsyncDisposable {
  engine: FakeEngine;
  containers: Container[];
  /** Sends an event to the listeners */
  emit(): void;
  /** Makes all requests fail, and ends the connections of events */
  fail(isAway: boolean): void;
  /** Connections of events so far */
  listeners: ServerResponse[];
}

export async function podEngine(): Promise<PodEngine> {
  const listeners: ServerResponse[] = [];
  let isAway = false;
  const state: { containers: Container[] } = { containers: [] };
  const unless = (respond: (response: ServerResponse) => void) => (_: unknown, response: ServerResponse) =>
    isAway ? answer(response, 500, { message: "away" }) : respond(response);
  const engine = await fakeEngine({
    "GET /version": unless((response) => answer(response, 200, { ApiVersion: "1.51" })),
    "GET /containers/json": unless((response) => answer(response, 200, state.containers)),
    "GET /events": unless((response) => {
      response.flushHeaders();
      listeners.push(response);
    }),
    ...Object.fromEntries(
      ["1", "2", "3"].map((id) => [
        `GET /containers/${id}/json`,
        unless((response) => answer(response, 200, { HostConfig: { CgroupParent: "/kubepods/burstable/pod1" } })),
      ]),
    ),
  });
  return {
    engine,
    listeners,
    get containers() {
      return state.containers;
    },
    set containers(now) {
      state.containers = now;
    },
    emit: () => listeners.forEach((response) => response.write('{"Type":"container"}\n')),
    fail(now) {
      isAway = now;
      for (const response of listeners) response.destroy();
    },
    [Symbol.asyncDispose]: engine[Symbol.asyncDispose],
  };
}
