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
  /** Further routes: each in a scope of its own, with problem details and tokens as all others. */
  plugins?: readonly FastifyPluginAsync[] | undefined;
  /** Told of unexpected errors, which clients are not told */
  onError?: ((error: unknown) => void) | undefined;
}

/**
 * Creates the HTTP API. It does not listen: call `listen` or `inject`; `close` ends it. Each route names the scope that it needs in its `config`
 * (auth.ts), and its schemas, from which the OpenAPI document is made. Nothing of requests is logged.
 */
export function createApp(options: AppOptions): FastifyInstance {
  const app = fastify({
    logger: false,
    bodyLimit: MAX_JSON,
    exposeHeadRoutes: true,
    return503OnClosing: true,
    // Requests that end with the server, streams of events among them, must not hold it.
    forceCloseConnections: true,
    routerOptions: { maxParamLength: 200 },
    trustProxy: fromThisMachine,
    // Nothing is made to fit: what has the wrong type is refused, and unknown fields are not dropped silently.
    ajv: { customOptions: { coerceTypes: false, removeAdditional: false, useDefaults: false, allErrors: true } },
    serverFactory: (handler) => createHttpServer(handler, options.tls),
    clientErrorHandler: refuseBrokenRequest,
    frameworkErrors: (error, _request, reply) => void sendProblem(reply, asProblem(error)),
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
    const detail = `This address does not take ${request.method}.`;
    return sendProblem(reply, new ProblemError(405, "method-not-allowed", detail, { headers }));
  });
  registerRoutes(app, options);
  return app;
}

/** The OpenAPI document is registered first: it collects the routes that are registered after it. */
function registerRoutes(app: FastifyInstance, options: AppOptions): void {
  addOpenApi(app);
  addStreams(app, options);
  app.register(operationRoutes(options));
  for (const plugin of options.plugins ?? []) app.register(plugin);
  app.register(async (v2) => {
    acceptMultipart(v2);
    // Read by the route, which watches it.
    v2.addContentTypeParser(ARCHIVE_TYPES, (_request, _payload, done) => done(null));
    const typed = v2.withTypeProvider<TypeBoxTypeProvider>();
    addSubmitRoute(typed, options);
    addBuildRoutes(typed, options);
    addRetryRoute(typed, options);
  });
  app.register(v1Routes(options), { prefix: "/api/v1" });
}

/** For answers that are data. The page sets a policy of its own. There is no CORS: pages of other sites read nothing. */
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
