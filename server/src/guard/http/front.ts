import { setMaxListeners } from "node:events";
import type { ServerHttp2Stream } from "node:http2";
import type { Duplex } from "node:stream";
import { abortable, deadline } from "docker-over-ssh/builds";
import { refusedConnection } from "../audit/refused-connection.ts";
import { Refusal } from "../refusal.ts";
import type { Tenant } from "../tenant.ts";
import type { FrontContext, FrontDependencies } from "./front-context.ts";
import { handleRequest } from "./handle-request.ts";
import { createHttp1 } from "./http1.ts";
import { createHttp2 } from "./http2.ts";
import { sniff } from "./sniff.ts";
import { grpcForwarder } from "./forward-grpc.ts";
import { TIMEOUTS } from "./timeouts.ts";

/** Answers the connections of one tenant. */
export interface Front {
  /** Owns the connection. */
  take(connection: Duplex): void;
  /** Ends all calls, which fail with a Refusal `tenant.gone`, then closes all connections. Resolves when the calls are over, or after a timeout. */
  close(): Promise<void>;
}

/** @param tenant returns the tenant's current state; called for each request */
export function openFront(tenant: () => Tenant, dependencies: FrontDependencies): Front {
  const closing = new AbortController();
  setMaxListeners(0, closing.signal);
  const timeouts = { ...TIMEOUTS, ...dependencies.timeouts };
  const context: FrontContext = {
    now: () => new Date(),
    ...dependencies,
    timeouts,
    tenant,
    closing: closing.signal,
    open: { count: 0 },
    serveHttp2: async (connection, signal) => await untilClosed(connection, signal, () => http2.take(connection)),
  };
  const calls = new Set<Promise<void>>();
  const handle: Parameters<typeof createHttp1>[0] = (exchange) => {
    context.open.count++;
    const call = handleRequest(exchange, context).finally(() => {
      calls.delete(call);
      context.open.count--;
    });
    calls.add(call);
    return call;
  };
  const http1 = createHttp1(handle, timeouts);
  const forwardGrpc = grpcForwarder(context);
  const http2 = createHttp2(
    handle,
    (request, response, gone) => {
      if (!forwardGrpc(request, response, gone)) return false;
      const call = untilOver(request.stream).finally(() => calls.delete(call));
      calls.add(call);
      return true;
    },
    { timeouts, onFlood: (refusal) => dependencies.audit.write(refusedConnection(tenant().id, refusal)) },
  );
  const open = new Set<Duplex>();
  return {
    take(connection) {
      open.add(connection);
      // A reset is treated like any other end.
      connection.on("error", () => connection.destroy());
      connection.once("close", () => open.delete(connection));
      const timer = setTimeout(() => connection.destroy(), timeouts.headers).unref();
      void sniff(connection, closing.signal).then((found) => {
        clearTimeout(timer);
        if (found === undefined || closing.signal.aborted) connection.destroy();
        else if (found === "http1") http1.take(connection);
        else http2.take(connection);
      });
    },
    async close() {
      closing.abort(new Refusal("tenant.gone", "this tenant is no longer served", { statusCode: 503 }));
      using limit = deadline(timeouts.linger);
      await abortable(Promise.allSettled(calls), limit.signal).catch(() => {}); // a call that does not end loses its connection below
      for (const connection of open) connection.destroy();
    },
  };
}

async function untilOver(stream: ServerHttp2Stream): Promise<void> {
  if (!stream.closed) await new Promise<void>((resolve) => void stream.once("close", () => resolve()));
}

/**
 * Handles a connection, and resolves when it is closed. If `signal` is aborted, the connection closes as soon as its
 * open calls have ended.
 */
async function untilClosed(connection: Duplex, signal: AbortSignal, take: () => { end: () => void }): Promise<void> {
  const closed = new Promise<void>((resolve) => void connection.once("close", () => resolve()));
  if (signal.aborted || connection.destroyed) {
    connection.destroy();
    return;
  }
  const { end } = take();
  signal.addEventListener("abort", end, { once: true });
  await closed;
  signal.removeEventListener("abort", end);
}
