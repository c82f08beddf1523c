import type { FastifyRequest } from "fastify";
import type { InvalidField } from "../http/invalid-fields.ts";
import { parseJson } from "../http/json-body.ts";
import { unusable } from "./order.ts";
import { ProblemError } from "../http/problem.ts";
import { CredentialsSchema, type BuildQuery, type BuildRequest } from "../shapes/schemas.ts";

/** Returns the build request in the query of a plain archive. Throws ProblemError 400 or 422. */
export function buildOfQuery(request: FastifyRequest<{ Querystring: BuildQuery }>): BuildRequest {
  const { name, strip, buildArg, label, webhook, noCache, pull, push, purge, ...others } = request.query;
  if (name === undefined) {
    const errors = [{ field: "name", message: "is required" }];
    throw new ProblemError(400, "invalid", "The query is not valid.", { errors });
  }
  const credentials = registryAuth(request);
  return {
    ...others,
    name,
    ...(strip !== undefined && { strip: Number(strip) }),
    ...(buildArg !== undefined && { buildArgs: readPairs("buildArg", buildArg) }),
    ...(label !== undefined && { labels: readPairs("label", label) }),
    ...(webhook !== undefined && { webhook: { url: webhook } }),
    ...flags({ noCache, pull, push, purge }),
    ...(credentials !== undefined && { credentials }),
  };
}

function readPairs(field: string, given: string | readonly string[]): Record<string, string> {
  const errors: InvalidField[] = [];
  const pairs = [given].flat().map((pair): [string, string] => {
    const equals = pair.indexOf("=");
    if (equals < 1) errors.push({ field, message: "must be NAME=VALUE" });
    return [pair.slice(0, equals), pair.slice(equals + 1)];
  });
  if (errors.length > 0) throw unusable(errors);
  return Object.fromEntries(pairs);
}

function flags<Name extends string>(given: Record<Name, string | undefined>): { [name in Name]?: boolean } {
  const set = Object.entries<string | undefined>(given).filter(([, value]) => value !== undefined);
  return Object.fromEntries(set.map(([name, value]) => [name, value === "true"])) as { [name in Name]?: boolean };
}

/** Reads the header in which Docker's clients send credentials for a registry: base64url of JSON. */
function registryAuth(request: FastifyRequest): BuildRequest["credentials"] {
  const header = request.headers["x-registry-auth"];
  if (header === undefined) return undefined;
  const value = parseJson(Buffer.from(String(header), "base64url").toString());
  if (request.validateInput(value, CredentialsSchema) && isCredentials(value)) return value;
  throw new ProblemError(400, "invalid", "The header X-Registry-Auth is not valid.", {
    expected: 'base64url of {"username": …, "password": …}',
  });
}

function isCredentials(value: unknown): value is NonNullable<BuildRequest["credentials"]> {
  return typeof value === "object" && value !== null && "username" in value && "password" in value;
}
