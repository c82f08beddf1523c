import type { FastifyInstance } from "fastify";
import { ProblemError } from "./problem.ts";

/** Maximum bytes of a JSON body. */
export const MAX_JSON = 1024 * 1024;
/** Maximum nesting of arrays and objects. */
const MAX_DEPTH = 16;

/** Parses JSON of limited depth. Treats an empty body as missing: routes that need a body have a schema. */
export function acceptJson(app: FastifyInstance): void {
  app.removeContentTypeParser(["application/json", "text/plain"]);
  app.addContentTypeParser("application/json", { parseAs: "string", bodyLimit: MAX_JSON }, (_request, text, done) => {
    try {
      done(null, text === "" ? undefined : parseJson(String(text)));
    } catch (error) {
      done(error instanceof Error ? error : new Error("unexpected"));
    }
  });
}

/**
 * Parses JSON. Throws a {@link ProblemError} for invalid JSON, for too many levels, and for names that change objects
 * (`__proto__`).
 */
export function parseJson(text: string): unknown {
  refuseDepth(text);
  try {
    return JSON.parse(text, refuseName);
  } catch (error) {
    if (error instanceof ProblemError) throw error;
    throw new ProblemError(400, "malformed", "The body is not JSON.", { cause: error });
  }
}

/** Scans the text, because the parser itself recurses without a limit. */
function refuseDepth(text: string): void {
  let depth = 0;
  let isInString = false;
  for (let index = 0; index < text.length; index++) {
    const character = text[index];
    if (isInString) {
      if (character === "\\") index++;
      else if (character === '"') isInString = false;
    } else if (character === '"') isInString = true;
    else if (character === "[" || character === "{") {
      if (++depth > MAX_DEPTH) {
        throw new ProblemError(400, "too-deep", `The body has more than ${MAX_DEPTH} levels.`);
      }
    } else if (character === "]" || character === "}") depth--;
  }
}

function refuseName(this: unknown, key: string, value: unknown): unknown {
  if (key !== "__proto__") return value;
  throw new ProblemError(400, "malformed", 'The body has a field "__proto__".');
}
