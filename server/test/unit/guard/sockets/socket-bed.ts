import { mkdtemp, rm } from "node:fs/promises";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { once } from "node:events";
import { text } from "node:stream/consumers";
import type { Tenant, TenantEndpoint } from "../../../../src/guard/tenant.ts";

export async function temporaryFolder(): Promise<{ path: string } & AsyncDisposable> {
  const path = await mkdtemp(join(tmpdir(), "guard-test-"));
  return { path, [Symbol.asyncDispose]: async () => await rm(path, { recursive: true, force: true }) };
}

export const TENANT: Tenant = {
  id: "team",
  labels: {},
  policy: { bases: [], pulls: [], pushes: [], sources: [], sharesCache: false, hasNetwork: true },
  resources: { ulimits: [] },
  quotas: { context: 1e9, connections: 100, requests: 1000 },
};

export function endpointIn(folder: string, isInTenantsFolder = false, tenant = TENANT): TenantEndpoint {
  return { tenant, socket: join(folder, "docker.sock"), isInTenantsFolder };
}

/** Greets, and leaves the connection open until the client ends it. */
export function greet(connection: Socket): void {
  connection.write("hello");
  connection.resume().once("end", () => connection.end());
}

/** Returns the greeting that a client reads without sending anything. */
export async function greeting(path: string): Promise<string> {
  const socket = connect(path);
  socket.end();
  return await text(socket);
}

export async function connected(path: string): Promise<Socket> {
  const socket = connect(path);
  await once(socket, "connect");
  return socket;
}
