import { once } from "node:events";
import { Code, ConnectError, createClient, type HandlerContext, type ServiceImpl } from "@connectrpc/connect";
import { ABOUT } from "./audit-calls.ts";
import { cacheService } from "./cache-service.ts";
import { answerForTenant, statusForTenant, withoutForeignImages } from "./status.ts";
import { openSession } from "./sessions.ts";
import { checkId } from "./ids.ts";
import { planSolve } from "./solve-plan.ts";
import { Refusal } from "../refusal.ts";
import { solveDirectly } from "./solve-for-tenant.ts";
import { refuseUnknownFields } from "./unknown-fields.ts";
import { workerForTenant } from "./workers.ts";
import {
  BytesMessageSchema,
  type BytesMessage,
  Control,
  InfoRequestSchema,
  ListWorkersRequestSchema,
  StatusRequestSchema,
} from "./gen/control_pb.ts";
import { callOf } from "./tenant-call.ts";
import type { BuildkitDependencies } from "./dependencies.ts";
import type { Builds } from "./builds.ts";
import { withTenantNames } from "../images/names.ts";
import type { SessionRequest } from "../backend.ts";

/** `moby.buildkit.v1.Control` for tenants. */
export function controlService(dependencies: BuildkitDependencies, builds: Builds): ServiceImpl<typeof Control> {
  return {
    ...cacheService(dependencies),

    async solve(request, { signal, values }) {
      const { caller, engine } = callOf(values);
      const { tenant } = caller;
      const ref = checkId(request.ref, "build");
      const plan = (() => {
        try {
          return planSolve(request, tenant, dependencies.ids);
        } catch (error) {
          builds.refuse(tenant.id, ref);
          throw error;
        }
      })();
      const names = plan.exporters.flatMap(({ attrs }) => attrs["name"]?.split(",") ?? []);
      values.set(
        ABOUT,
        names.map((name) => withTenantNames(tenant.id, name)),
      );
      const engineConnection = await engine();
      const exporterResponse = plan.isGatewayClient
        ? await builds.run(caller, plan, engineConnection, signal)
        : await solveDirectly(dependencies, builds, caller, { plan, connection: engineConnection, signal });
      return { exporterResponse: answerForTenant(tenant.id, exporterResponse) };
    },

    async *status(request, context) {
      const { caller, engine } = callOf(context.values);
      const { tenant } = caller;
      const signal = AbortSignal.any([context.signal, caller.signal]);
      refuseUnknownFields(StatusRequestSchema, request);
      const ref = checkId(request.ref, "build");
      const build = await builds.find(tenant.id, ref, signal);
      if (build === undefined) return;
      const client = createClient(Control, (await engine()).transport);
      try {
        for await (const status of client.status({ ref: dependencies.ids.build(tenant.id, ref) }, { signal })) {
          const visible = build.support.hasSourcePolicies ? status : withoutForeignImages(tenant.policy, status);
          yield statusForTenant(tenant.id, visible);
        }
      } catch (error) {
        caller.signal.throwIfAborted(); // the tenant was removed
        throw error;
      }
    },

    async listWorkers(request, { signal, values }) {
      const { engine } = callOf(values);
      refuseUnknownFields(ListWorkersRequestSchema, request);
      const { record } = await createClient(Control, (await engine()).transport).listWorkers({}, { signal });
      return { record: record.map(workerForTenant) };
    },

    async info(request, { signal, values }) {
      refuseUnknownFields(InfoRequestSchema, request);
      const { engine } = callOf(values);
      return createClient(Control, (await engine()).transport).info({}, { signal });
    },

    session: (messages, context) => serveSession(dependencies, builds, messages, context),
  };
}

/** Passes the messages of a client's session to the engine, and the engine's back, until either side ends it. */
async function* serveSession(
  dependencies: BuildkitDependencies,
  builds: Builds,
  messages: AsyncIterable<BytesMessage>,
  context: HandlerContext,
): AsyncGenerator<{ data: Buffer }> {
  const { stream, count } = await openSession(dependencies, builds, callOf(context.values).caller, sessionOf(context));
  let refused: unknown;
  const pump = async (): Promise<void> => {
    for await (const message of messages) {
      refuseUnknownFields(BytesMessageSchema, message);
      const { data } = message;
      count(data.length);
      if (!stream.write(data)) await once(stream, "drain", { signal: context.signal });
    }
    stream.end();
  };
  pump().catch((error: unknown) => {
    refused = error;
    stream.destroy();
  });
  try {
    for await (const data of stream as AsyncIterable<Buffer>) yield { data };
    // If the stream is destroyed without an error, the call ends without one.
    if (isForTenant(refused)) throw refused;
  } catch (error) {
    if (isForTenant(refused)) throw refused;
    throw new ConnectError(
      "the session's connection to the engine has broken",
      Code.Unavailable,
      undefined,
      undefined,
      error,
    );
  } finally {
    stream.destroy();
  }
}

/** Returns whether an error is a message for the tenant, not one of a connection. */
function isForTenant(error: unknown): error is ConnectError | Refusal {
  return error instanceof ConnectError || error instanceof Refusal;
}

/** Reads the headers that describe a session. In gRPC, they are the request's metadata. */
function sessionOf({ requestHeader }: HandlerContext): SessionRequest {
  const text = (name: string): string => requestHeader.get(`x-docker-expose-session-${name}`) ?? "";
  return {
    id: text("uuid"),
    name: text("name"),
    sharedKey: text("sharedkey"),
    methods: text("grpc-method")
      .split(",")
      .map((method) => method.trim())
      .filter((method) => method !== ""),
  };
}
