import { fullName } from "docker-over-ssh/builds";
import { checkMessage } from "./buildkit/check-message.ts";
import { judge, type Decision } from "./calls/judge.ts";
import { findCall } from "./calls/table.ts";
import { parseTenantName } from "./images/names.ts";
import { checkSource } from "./policy/sources.ts";
import { checkPush } from "./push/check-push.ts";
import { Refusal } from "./refusal.ts";
import type { Tenant } from "./tenant.ts";

/** An HTTP request, or a gRPC message. */
export interface ExplainedRequest {
  /** Undefined: `target` is the path of a gRPC call */
  method: string | undefined;
  /** With the query */
  target: string;
  /** Names and values; none: the headers that docker sends */
  headers: readonly (readonly [name: string, value: string])[];
  body: Buffer;
}

/**
 * Returns the guard's decision about a request of this tenant, as far as it does not depend on the engine and the
 * tenant's images.
 */
export function explain({ method, target, headers, body }: ExplainedRequest, tenant: Tenant): Decision {
  try {
    if (method === undefined) {
      checkMessage(target, body, tenant);
      const name = target.split("/").at(-1) ?? "";
      return allowed(`grpc.${name.toLowerCase()}`, `${name} is passed on to BuildKit, rebuilt from its checked fields`);
    }
    const given = headers.length > 0 ? headers.flat() : usualHeaders(method, target);
    const decision = judge({ method, target, rawHeaders: given, body });
    if (decision.decision === "allowed") checkPolicy(decision, target, tenant);
    return decision;
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    const { rule, message, statusCode } = error;
    return { decision: "refused", rule, reason: message, statusCode, about: [] };
  }
}

function allowed(rule: string, reason: string): Decision {
  return { decision: "allowed", rule, reason, statusCode: 200, about: [] };
}

/** Checks the parts of the policy that a call uses when it is performed */
function checkPolicy({ rule, about }: Decision, target: string, tenant: Tenant): void {
  if (rule === "image.push") {
    for (const name of about) {
      const reference = parseTenantName(name);
      checkPush(tenant, { ...reference, given: fullName(reference) });
    }
  }
  const remote = new URL(target, "http://engine").searchParams.get("remote");
  if (rule === "build" && remote !== null && /^https?:/.test(remote)) checkSource(remote, tenant.policy);
}

/** Alternating names and values */
function usualHeaders(method: string, target: string): string[] {
  const path = target.replace(/\?.*/s, "").replace(/^\/v\d+\.\d+(?=\/)/, "");
  const isUpgrade = findCall(method, path)?.call.body.kind === "upgrade";
  return [
    "Host",
    "docker",
    ...(isUpgrade ? ["Connection", "Upgrade", "Upgrade", "h2c", "X-Docker-Expose-Session-Uuid", "explained"] : []),
  ];
}
