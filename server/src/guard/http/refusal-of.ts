import { EngineAnswer } from "../engine/engine-api.ts";
import { withTenantNames } from "../images/names.ts";
import { Refusal } from "../refusal.ts";

/**
 * Converts an error to the Refusal for the tenant. A Refusal is unchanged; an error of the engine gets the tenant's
 * names; any other error is reported without details, which are passed to `onProblem`.
 *
 * @param signal the signal of the call: if it was aborted, its reason is the cause of the failure
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
  return new Refusal("guard.failed", "the guard failed to handle this call; the guard's log contains the reason", {
    statusCode: 500,
  });
}
