import type { Reference } from "docker-over-ssh/builds";
import type { EngineApi } from "../engine/engine-api.ts";
import { matchesAny } from "../policy/patterns.ts";
import { Refusal } from "../refusal.ts";
import type { Tenant } from "../tenant.ts";

/** Refuses a push that the policy does not allow. The message lists the allowed patterns. */
export function checkPush({ policy }: Tenant, reference: Reference): void {
  if (reference.digest !== undefined)
    throw new Refusal("push.digest", "cannot push a digest reference", { statusCode: 400 });
  if (!matchesAny(policy.pushes, reference)) {
    const allowed = policy.pushes.length === 0 ? "nothing may be" : `what may be: ${policy.pushes.join(", ")}`;
    throw new Refusal("push.refused", `"${reference.given}" may not be pushed from here; ${allowed}`);
  }
}

/** Refuses a push with an engine on another machine, because the engine pushes through a port of 127.0.0.1. */
export function checkEngineIsLocal({ reachesUs }: Pick<EngineApi, "reachesUs">): void {
  if (!reachesUs)
    throw new Refusal("push.engine-elsewhere", "the guard can push only with an engine on its own machine", {
      statusCode: 501,
    });
}
