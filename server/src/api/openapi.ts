import swagger from "@fastify/swagger";
import type { FastifyInstance, FastifySchema } from "fastify";
import { hoistNamedSchemas } from "./openapi-names.ts";

const OPENAPI_PATH = "/api/v2/openapi.json";

const TAGS = [
  { name: "builds", description: "Builds" },
  { name: "operation", description: "For the operator of the server" },
  { name: "v1", description: "Version 1: tutum-builder's" },
];

/** Collects the routes registered after it, and serves the OpenAPI 3.1 document generated from their schemas. */
export function addOpenApi(app: FastifyInstance): void {
  app.register(swagger, {
    openapi: {
      openapi: "3.1.0",
      info: {
        title: "docker-over-ssh serve",
        version: "2",
        description: "A build service: builds images from Dockerfiles and archives on an engine, and pushes them.",
        license: { name: "MIT", identifier: "MIT" },
      },
      servers: [{ url: "/" }],
      tags: TAGS,
      components: {
        securitySchemes: {
          token: {
            type: "http",
            scheme: "bearer",
            description: "A token of the server's token file. A server without one is open to its own machine.",
          },
        },
      },
    },
    convertConstToEnum: false,
    transform: ({ schema, url, route }) => ({ schema: withScope(schema, route.config?.scope), url }),
    transformObject: (document) => {
      if (!("openapiObject" in document)) throw new Error("the document is not OpenAPI");
      return hoistNamedSchemas(document.openapiObject);
    },
  });
  app.register(async (scope) => {
    scope.get(OPENAPI_PATH, { config: { scope: "open" }, schema: { hide: true } }, async () => app.swagger());
  });
}

/**
 * Adds the scope that a route needs to its description. Routes without a tag are not part of the API: the page, and
 * this document.
 */
function withScope(schema: FastifySchema | undefined, scope: string | undefined): FastifySchema {
  if (schema?.tags === undefined || scope === undefined) return { ...schema, hide: true };
  const needs = scope === "open" ? "Needs no token." : `Needs a token with the scope \`${scope}\`, or \`admin\`.`;
  return {
    ...schema,
    description: [schema.description, needs].filter((part) => part !== undefined).join("\n\n"),
    security: scope === "open" ? [] : [{ token: [] }],
  };
}
