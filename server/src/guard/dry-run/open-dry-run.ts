import type { Duplex } from "node:stream";
import { pipeline } from "node:stream/promises";
import { messageOf } from "docker-over-ssh/builds";
import type { AuditEntry, AuditLog } from "../audit/entry.ts";
import { Refusal } from "../refusal.ts";
import type { Tenant } from "../tenant.ts";
import { CopiedStream } from "./copied-stream.ts";
import { HTTP2_PREFACE } from "./http2-frames.ts";
import { readGrpc } from "./read-grpc.ts";
import { readHttp, type CopiedRequest } from "./read-http.ts";

/** Judges requests by their content. Checks that depend on the engine's images or on quotas are skipped. */
export interface DryRunDependencies {
  /** Opens a connection for a tenant's bytes. Its errors are emitted as events. */
  engine: { connect(): Duplex };
  audit: AuditLog;
  judge(request: { method: string; target: string; rawHeaders: readonly string[]; body?: Buffer | undefined }): Judged;
  /** Throws a Refusal for a gRPC message that the guard would refuse. */
  checkMessage(path: string, message: Buffer, tenant: Tenant): void;
  /** For the operator */
  printLine(line: string): void;
  /** ms since 1970 */
  now?: () => number;
}

export interface Judged {
  decision: "allowed" | "refused";
  rule: string;
  reason: string;
  statusCode: number;
  about: readonly string[];
}

/** Maximum bytes of a copy that wait to be judged. Beyond that, the copy is discarded. */
const MAX_WAITING = 64 * 1024 * 1024;

/**
 * Passes a tenant's connections on to the engine unchanged: **nothing is refused**. Judges a copy of the data that the
 * tenant sends, and writes audit lines with the guard's decisions. If a copy cannot be read, writes a line that reports
 * this, and the connection continues.
 */
export function openDryRun(
  tenant: () => Tenant,
  dependencies: DryRunDependencies,
): { take(connection: Duplex): void; close(): Promise<void> } {
  const open = new Set<Duplex>();
  return {
    take(connection) {
      open.add(connection);
      void passOn(connection, tenant, dependencies).finally(() => open.delete(connection));
    },
    async close() {
      for (const connection of open) connection.destroy();
    },
  };
}

async function passOn(connection: Duplex, tenant: () => Tenant, dependencies: DryRunDependencies): Promise<void> {
  const engine = dependencies.engine.connect();
  const take = judging(tenant, dependencies);
  connection.on("data", (chunk: Buffer) => take(chunk));
  connection.pause(); // until the pipeline below reads it
  // Each direction ends separately: a client that has sent its request may close its half.
  const both = await Promise.allSettled([
    pipeline(connection, engine, { end: true }),
    pipeline(engine, connection, { end: true }),
  ]);
  take(undefined);
  engine.destroy();
  connection.destroy();
  for (const result of both) {
    const { code = "" } = (result.status === "rejected" ? result.reason : {}) as NodeJS.ErrnoException;
    if (["ECONNREFUSED", "ENOENT", "EACCES"].includes(code)) {
      dependencies.printLine(`tenant ${tenant().id}: the engine cannot be reached: ${code}`);
      return;
    }
  }
}

/**
 * Judges the data of a connection. Returns a function that receives its bytes, and undefined at its end. Never throws.
 */
function judging(tenant: () => Tenant, dependencies: DryRunDependencies): (chunk: Buffer | undefined) => void {
  const copy = new CopiedStream();
  let first: Buffer = Buffer.alloc(0);
  let isBegun = false;

  function begin(): void {
    isBegun = true;
    copy.push(first);
    const isHttp2 =
      first.length >= HTTP2_PREFACE.length && first.subarray(0, HTTP2_PREFACE.length).equals(HTTP2_PREFACE);
    if (isHttp2) readGrpc(copy, grpcEvents(tenant, dependencies));
    else judgeRequests(copy, tenant, dependencies);
  }

  return (chunk) => {
    if (copy.destroyed) return;
    if (isBegun) copy.push(chunk ?? null);
    else {
      first = Buffer.concat([first, chunk ?? Buffer.alloc(0)]);
      const mayBeHttp2 = HTTP2_PREFACE.subarray(0, first.length).equals(first.subarray(0, HTTP2_PREFACE.length));
      if (chunk !== undefined && mayBeHttp2 && first.length < HTTP2_PREFACE.length) return;
      if (first.length > 0) begin();
      if (chunk === undefined) copy.push(null);
    }
    if (copy.readableLength > MAX_WAITING) {
      unreadable(tenant(), dependencies, "it arrives faster than it can be judged");
      copy.destroy();
    }
  };
}

function judgeRequests(copy: Duplex, tenant: () => Tenant, dependencies: DryRunDependencies): void {
  const judged = (request: CopiedRequest): Judged => {
    const result = dependencies.judge(request);
    const call = `${request.method} ${request.target.replace(/\?.*/s, "")}`;
    write(dependencies, {
      tenant: tenant().id,
      call,
      decision: result.decision === "allowed" ? "allowed" : "would-refuse",
      rule: result.rule,
      ...(result.decision === "refused" && { reason: result.reason, status: result.statusCode }),
      about: result.about,
      received: request.received,
    });
    return result;
  };
  readHttp(copy, {
    onRequest: (request) => void judged(request),
    onUpgrade(request, rest) {
      const { decision } = judged(request);
      const isGrpc = decision === "allowed" && request.target.endsWith("/grpc");
      if (isGrpc) readGrpc(rest, grpcEvents(tenant, dependencies));
      // On a session, the engine is the client, and the tenant answers.
      else rest.resume();
    },
    onUnreadable: (why) => unreadable(tenant(), dependencies, why),
  });
}

function grpcEvents(tenant: () => Tenant, dependencies: DryRunDependencies): Parameters<typeof readGrpc>[1] {
  return {
    checkMessage: (path, message) => dependencies.checkMessage(path, message, tenant()),
    onCall({ path, bytes, ...rest }) {
      const { error } = rest;
      const rule = error instanceof Refusal ? error.rule : "dry-run.unreadable";
      write(dependencies, {
        tenant: tenant().id,
        call: path,
        ...("error" in rest
          ? { decision: "would-refuse", rule, reason: messageOf(error) }
          : { decision: "allowed", rule: `grpc.${(path.split("/").at(-1) ?? "").toLowerCase()}` }),
        received: bytes,
      });
    },
    onUnreadable: (why) => unreadable(tenant(), dependencies, why),
  };
}

/** Records a connection that a guard would have closed at this point. */
function unreadable({ id }: Tenant, dependencies: DryRunDependencies, why: string): void {
  write(dependencies, {
    tenant: id,
    call: "(the rest of a connection)",
    decision: "would-refuse",
    rule: "dry-run.unreadable",
    reason: why,
    received: 0,
  });
}

function write({ audit, now = Date.now }: DryRunDependencies, entry: Omit<AuditEntry, "time" | "sent" | "ms">): void {
  audit.write({ time: new Date(now()).toISOString(), ...entry, sent: 0, ms: 0 });
}
