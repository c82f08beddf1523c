import type { EngineEndpoint } from "../engine/connect/endpoint.ts";
import { plural } from "../output/describe.ts";
import { Failure } from "../output/errors.ts";
import type { Finding } from "../output/finding-lines.ts";
import type { HostConnection } from "../request.ts";
import type { Context } from "../transfer.ts";
import { checkThisSide } from "./check-this-side.ts";
import { checkHost } from "./check-host.ts";

export interface DoctorRequest {
  /** The address in -H or DOCKER_HOST; undefined: the docker context decides. */
  endpoint: EngineEndpoint | undefined;
  /** If undefined, only this side is checked. */
  host?: HostConnection | undefined;
}

/** Checks both sides, and emits each finding. If no transfer would work, throws a Failure with the exit status that a transfer would have. */
export async function doctor({ endpoint, host }: DoctorRequest, context: Context): Promise<void> {
  const missing: Finding[] = [];
  for await (const finding of checks(endpoint, host, context)) {
    context.output.note({ code: "checked", finding });
    if (finding.state === "missing") missing.push(finding);
  }
  const [first] = missing;
  if (first === undefined) return;
  throw new Failure(
    first.code ?? "transfer-failed",
    `${plural(missing.length, "check")} failed: ${missing.map(({ side, check }) => `${check} ${side}`).join(", ")}`,
    {
      expected: "everything that a transfer needs",
      hint: "Follow the lines `to do` above, then run the same command again.",
    },
  );
}

async function* checks(
  endpoint: EngineEndpoint | undefined,
  host: HostConnection | undefined,
  context: Context,
): AsyncGenerator<Finding> {
  yield* checkThisSide(endpoint, context);
  if (host !== undefined) yield* checkHost(host, context);
}
