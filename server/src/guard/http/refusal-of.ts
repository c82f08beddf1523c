import { EngineAnswer } from "../engine/engine-api.ts";
import { withTenantNames } from "../images/names.ts";
import { Refusal } from "../refusal.ts";

/**
 * Returns the Refusal that a tenant gets for an error: a Refusal as it is, an error of the engine with the tenant's names, and for any other error no details,
 * which go to `onProblem`.
 *
 * @param signal of the call: if it was aborted, its reason is why the call failed
 */
export function refusalOf(
  error: unknown,
  {
    tenant,
    call,
    signal,
    onProblem,
  }: { tenant: string; call: string; signal: AbortSignal; onProblem: (problem: string) => void },
): Refusal {
  if (signal.aborted && signal.reason instanceof Refusal) return signal.reason;
  if (error instanceof Refusal) return error;
  if (error instanceof EngineAnswer) {
    return new Refusal("engine.answer", withTenantNames(tenant, error.message), { statusCode: error.statusCode });
  }
  onProblem(
    `tenant ${tenant}: ${call} has failed: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`,
  );
  return new Refusal("guard.failed", "the guard failed to handle this call: its operator finds the reason in its log", {
    statusCode: 500,
  });
}
