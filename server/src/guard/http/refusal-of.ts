import { EngineAnswer } from "../engine/engine-api.ts";
import { inTenantsWords } from "../images/names.ts";
import { Refusal } from "../refusal.ts";

/**
 * Returns what a tenant is told of an error: a Refusal as it is, an error of the engine with the tenant's names, and nothing of the inside of any other,
 * which goes to `onProblem`.
 *
 * @param signal of the call: what it was aborted with is why it failed
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
    return new Refusal("engine.answer", inTenantsWords(tenant, error.message), { statusCode: error.statusCode });
  }
  onProblem(
    `tenant ${tenant}: ${call} has failed: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`,
  );
  return new Refusal("guard.failed", "the guard has failed at this call; its operator finds the reason in its log", {
    statusCode: 500,
  });
}
