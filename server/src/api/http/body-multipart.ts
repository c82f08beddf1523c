import type { Readable } from "node:stream";
import fastifyMultipart from "@fastify/multipart";
import type { FastifyInstance, FastifyRequest } from "fastify";
import { incomplete } from "./body.ts";
import { ProblemError } from "./problem.ts";

export const FORM_TYPE = "multipart/form-data";

export interface BodyPart {
  name: string;
  stream: Readable;
}

/**
 * Makes the app accept multipart bodies. Every part is a stream, including fields: the limit applies before they are in
 * memory.
 */
export function acceptMultipart(app: FastifyInstance): void {
  app.register(fastifyMultipart, {
    isPartAFile: () => true,
    throwFileSizeLimit: false,
    limits: { files: 8, parts: 8, headerPairs: 32, fieldNameSize: 100, fileSize: Number.MAX_SAFE_INTEGER },
  });
}

/**
 * Calls `read` for each part, in order, and waits for it. `read` reads a part to its end. Ignores file names. Throws a
 * ProblemError for a truncated or malformed body, and the errors of `read`.
 */
export async function readParts(request: FastifyRequest, read: (part: BodyPart) => Promise<void>): Promise<void> {
  const failed: unknown[] = [];
  try {
    for await (const part of request.parts()) {
      if (part.type !== "file") throw new ProblemError(400, "malformed", "The form has a part without a name.");
      try {
        await read({ name: part.fieldname, stream: part.file });
      } catch (error) {
        failed.push(error);
        throw error;
      }
    }
  } catch (error) {
    if (failed.includes(error) || error instanceof ProblemError) throw error;
    const isCut = !request.raw.readableEnded || /unexpected end|terminated early/i.test(String(error));
    throw isCut
      ? incomplete(error)
      : new ProblemError(400, "malformed", "The body is not a form that this server accepts.", { cause: error });
  }
}
