import { create } from "@bufbuild/protobuf";
import { createClient } from "@connectrpc/connect";
import { answerForTenant, statusForTenant, withoutForeignImages } from "./status.ts";
import { buildHeader } from "./build-header.ts";
import { grpcError } from "./grpc-errors.ts";
import { planSolve, type SolvePlan } from "./solve-plan.ts";
import { Refusal } from "../refusal.ts";
import { refuseNoImage } from "./results.ts";
import { solveFrontend } from "./frontend.ts";
import { Control, SolveRequestSchema, type StatusResponse } from "./gen/control_pb.ts";
import type { BuildkitDependencies } from "./dependencies.ts";
import type { Builds, RunningBuild } from "./builds.ts";
import type { Caller } from "../caller.ts";
import type { GrpcConnection } from "docker-over-ssh/builds";

/** A request to build a Dockerfile with BuildKit. It contains the tenant's names and is not checked yet. */
export interface SolveOrder {
  /** The tenant's ID of the build */
  ref: string;
  /** The tenant's ID of its session, which has the files */
  session?: string | undefined;
  /** The attributes that buildx sets: `filename`, `target`, `build-arg:NAME`, `label:NAME`, … (attributes.ts) */
  attributes: Readonly<Record<string, string>>;
  /** At most one. If empty, the result is discarded. An image has the type `moby`, with `name` */
  exporters: readonly { type: string; attrs: Readonly<Record<string, string>> }[];
  /** The references of `--cache-from`: images in registries */
  cacheFrom?: readonly string[] | undefined;
}

export interface SolveOutcome {
  /** The engine's ID of the image, if the build creates one */
  imageId?: string | undefined;
  /** The exporter's answer, with the tenant's names */
  answer: Record<string, string>;
}

/** Gets the progress, with the tenant's names. `toBinary(StatusResponseSchema, status)` serializes it. */
export type OnStatus = (status: StatusResponse) => void;

/**
 * Builds a Dockerfile for a tenant, like `Control.Solve` with `dockerfile.v0`, and with the same checks as for a client of the gateway. Resolves when the
 * image is recorded as the tenant's.
 *
 * @throws Refusal; an error of the engine becomes a Refusal `build.failed`, with the tenant's names
 */
export async function solveForTenant(
  dependencies: BuildkitDependencies,
  builds: Builds,
  caller: Caller,
  { ref, session = "", attributes, exporters, cacheFrom = [] }: SolveOrder,
  onStatus: OnStatus,
): Promise<SolveOutcome> {
  const { tenant, signal } = caller;
  const request = create(SolveRequestSchema, {
    ref,
    session,
    frontend: "dockerfile.v0",
    frontendAttrs: attributes,
    exporters: exporters.map(({ type, attrs }) => ({ type, attrs })),
    cache: { imports: cacheFrom.map((image) => ({ type: "registry", attrs: { ref: image } })) },
  });
  try {
    const plan = planSolve(request, tenant, dependencies.ids);
    using connection = await dependencies.engine.grpc(signal);
    const following = followStatus(dependencies, builds, caller, { plan, connection, onStatus });
    try {
      const answer = await solveDirectly(dependencies, builds, caller, { plan, connection, signal });
      return { imageId: answer["containerimage.digest"], answer: answerForTenant(tenant.id, answer) };
    } finally {
      await following;
    }
  } catch (error) {
    if (error instanceof Refusal) throw error;
    signal.throwIfAborted();
    throw new Refusal("build.failed", grpcError(tenant.id, error).rawMessage, { statusCode: 500, cause: error });
  }
}

/** Runs a build whose client requests dockerfile.v0 directly. The guard acts as the gateway's client. */
export async function solveDirectly(
  dependencies: BuildkitDependencies,
  builds: Builds,
  caller: Caller,
  { plan, connection, signal }: { plan: SolvePlan; connection: GrpcConnection; signal: AbortSignal },
): Promise<Record<string, string>> {
  const over = new AbortController();
  const running = builds.run(caller, plan, connection, signal);
  const solving = solveInGateway(dependencies, builds, caller, {
    plan,
    signal: AbortSignal.any([signal, over.signal]),
  });
  let refused: unknown;
  solving.catch((error: unknown) => (refused = error)); // the error was returned to the engine, which ends the build
  try {
    return await running;
  } catch (error) {
    throw refused instanceof Refusal && !over.signal.aborted ? refused : error;
  } finally {
    over.abort();
    await solving.catch(() => {});
  }
}

async function solveInGateway(
  { ids }: BuildkitDependencies,
  builds: Builds,
  { tenant }: Caller,
  { plan, signal }: { plan: SolvePlan; signal: AbortSignal },
): Promise<void> {
  const build = await builds.find(tenant.id, plan.ref, signal);
  if (build === undefined) return;
  const options = { headers: buildHeader(plan.engineRef), signal };
  // Waits until the engine knows the build.
  await build.gateway.ping({}, options);
  try {
    const { attributes, syntax } = plan;
    const request = { attributes, syntax, evaluates: false };
    const result = await solveFrontend(build, request, { tenant, ids }, signal);
    refuseNoImage(plan, result);
    await build.gateway.return({ result }, options);
  } catch (error) {
    await returnError(build, tenant.id, error, options);
    throw error;
  }
}

async function returnError(
  { gateway }: RunningBuild,
  tenant: string,
  error: unknown,
  options: { headers: Record<string, string>; signal: AbortSignal },
): Promise<void> {
  const { code, rawMessage } = grpcError(tenant, error);
  await gateway.return({ error: { code, message: rawMessage } }, options).catch(() => {}); // otherwise, the build is over
}

async function followStatus(
  { ids }: BuildkitDependencies,
  builds: Builds,
  { tenant, signal }: Caller,
  { plan, connection, onStatus }: { plan: SolvePlan; connection: GrpcConnection; onStatus: OnStatus },
): Promise<void> {
  try {
    const build = await builds.find(tenant.id, plan.ref, signal);
    if (build === undefined) return;
    const client = createClient(Control, connection.transport);
    for await (const status of client.status({ ref: ids.build(tenant.id, plan.ref) }, { signal })) {
      const visible = build.support.hasSourcePolicies ? status : withoutForeignImages(tenant.policy, status);
      onStatus(statusForTenant(tenant.id, visible));
    }
  } catch {
    // The build itself reports the error.
  }
}
