import fastify, { type FastifyInstance, type FastifyPluginAsync } from "fastify";
import type { TypeBoxTypeProvider } from "@fastify/type-provider-typebox";
import type { AppContext } from "./builds/app-context.ts";
import { requireTokens } from "./http/auth.ts";
import { acceptMultipart } from "./http/body-multipart.ts";
import { addBuildRoutes } from "./builds/builds.ts";
import { limitBodies } from "./http/client-shares.ts";
import { expectBodies } from "./http/expect-body.ts";
import { acceptJson, MAX_JSON } from "./http/json-body.ts";
import { knownMethods } from "./http/method-not-allowed.ts";
import { asProblem, notFound, ProblemError, sendProblem } from "./http/problem.ts";
import { createHttpServer, refuseBrokenRequest, type TlsFiles } from "./http/http-server.ts";
import { measureRequests } from "./operation/metrics-routes.ts";
import { addOpenApi } from "./openapi.ts";
import { operationRoutes } from "./operation/operation-routes.ts";
import { fromThisMachine, refuseForeignPages } from "./http/origin.ts";
import { addRetryRoute } from "./builds/retry.ts";
import { addStreams } from "./streams/stream-routes.ts";
import type { StreamSettings } from "./streams/stream-settings.ts";
import { addSubmitRoute, ARCHIVE_TYPES } from "./builds/submit.ts";
import { v1Routes } from "./v1/v1.ts";

export type { AppContext };

export interface AppOptions extends AppContext {
  tls?: TlsFiles | undefined;
  streams?: Partial<StreamSettings> | undefined;
  /** Additional routes. Each plugin is encapsulated; problem details and tokens apply to all. */
  plugins?: readonly FastifyPluginAsync[] | undefined;
  /** Called with unexpected errors, whose details clients do not see */
  onError?: ((error: unknown) => void) | undefined;
}

/**
 * Creates the HTTP API. It does not listen: call `listen` or `inject`, and `close` at the end. Each route names the
 * scope that it needs in its `config` (auth.ts), and its schemas, from which the OpenAPI document is generated.
 * Requests are not logged.
 */
export function createApp(options: AppOptions): FastifyInstance {
  const app = fastify({
    logger: false,
    bodyLimit: MAX_JSON,
    exposeHeadRoutes: true,
    return503OnClosing: true,
    // Requests that last until the server stops, such as event streams, must not delay the stop.
    forceCloseConnections: true,
    routerOptions: { maxParamLength: 200 },
    trustProxy: fromThisMachine,
    // Ajv converts nothing: a wrong type is an error, and so is an unknown field.
    ajv: { customOptions: { coerceTypes: false, removeAdditional: false, useDefaults: false, allErrors: true } },
    serverFactory: (handler) => createHttpServer(handler, options.tls),
    clientErrorHandler: refuseBrokenRequest,
    frameworkErrors: (error, _request, reply) => {
      const problem = asProblem(error);
      if (problem.status === 500) options.onError?.(error);
      void sendProblem(reply, problem);
    },
  });
  const methodsOf = knownMethods(app);
  addSecurityHeaders(app);
  measureRequests(app, options.metrics);
  if (!options.access.needsToken) refuseForeignPages(app);
  requireTokens(app, options.access);
  limitBodies(app);
  expectBodies(app, options.settings.upload.idle);
  acceptJson(app);
  app.setErrorHandler((error, _request, reply) => {
    const problem = asProblem(error);
    if (problem.status === 500) options.onError?.(error);
    return sendProblem(reply, problem);
  });
  app.setNotFoundHandler((request, reply) => {
    const allowed = methodsOf(request.url);
    if (allowed.length === 0) return sendProblem(reply, notFound());
    const headers = { allow: allowed.join(", ") };
    const detail = `This address does not accept ${request.method}.`;
    return sendProblem(reply, new ProblemError(405, "method-not-allowed", detail, { headers }));
  });
  registerRoutes(app, options);
  return app;
}

/** Registers the OpenAPI document first: it collects the routes registered after it. */
function registerRoutes(app: FastifyInstance, options: AppOptions): void {
  addOpenApi(app);
  addStreams(app, options);
  app.register(operationRoutes(options));
  for (const plugin of options.plugins ?? []) app.register(plugin);
  app.register(async (v2) => {
    acceptMultipart(v2);
    // The route reads and limits the body itself.
    v2.addContentTypeParser(ARCHIVE_TYPES, (_request, _payload, done) => done(null));
    const typed = v2.withTypeProvider<TypeBoxTypeProvider>();
    addSubmitRoute(typed, options);
    addBuildRoutes(typed, options);
    addRetryRoute(typed, options);
  });
  app.register(v1Routes(options), { prefix: "/api/v1" });
}

/**
 * For responses that are data. The page sets its own policy. There is no CORS: pages of other sites cannot read
 * responses.
 */
function addSecurityHeaders(app: FastifyInstance): void {
  app.addHook("onRequest", async (_request, reply) => {
    reply.headers({
      "x-content-type-options": "nosniff",
      "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
      "referrer-policy": "no-referrer",
      "cross-origin-resource-policy": "same-origin",
      "x-frame-options": "DENY",
      "cache-control": "no-store",
    });
  });
}
