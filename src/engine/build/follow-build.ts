import { messageOf } from "../../output/errors.ts";
import { answerError } from "../api/errors.ts";
import { jsonLines } from "../api/json-lines.ts";
import { EngineError } from "../engine-error.ts";
import type { BuildEvent } from "../engine-builder.ts";
import { buildFailure } from "./build-failure.ts";
import { BuildRecord } from "./build-record.ts";
import { BuildTrace } from "./build-trace.ts";

/** Characters of a line: BuildKit sends up to a megabyte of output at once, in base64 and with other properties. */
const MAX_LINE = 8 * 1024 * 1024;
/** The line with the image's ID. Podman before 5 has no other. */
const BUILT = /^Successfully built ([0-9a-f]{12,64})\s*$/;

/** A line of the answer (moby `api/types/jsonstream`). */
interface BuildLine {
  id?: unknown;
  aux?: unknown;
  stream?: unknown;
  status?: unknown;
  error?: unknown;
  errorDetail?: { message?: unknown } | null;
}

/**
 * Reads the answer to `POST /build` to its end. Returns the image's ID, or its first digits.
 *
 * @throws Failure `build-failed`, `not-buildable` or `no-space`; EngineError for an invalid answer
 */
export async function followBuild(
  body: AsyncIterable<Uint8Array>,
  dockerfile: string,
  onEvent: (event: BuildEvent) => void,
): Promise<string> {
  const record = new BuildRecord();
  const trace = new BuildTrace();
  let [id, failure]: [string | undefined, string | undefined] = [undefined, undefined];
  for await (const value of jsonLines(body, MAX_LINE)) {
    const line = (typeof value === "object" && value !== null ? value : {}) as BuildLine;
    for (const event of eventsOf(line, trace)) {
      record.take(event);
      onEvent(event);
    }
    id = longer(id, idOf(line));
    failure ??= text(line.errorDetail?.message) ?? text(line.error);
  }
  if (failure !== undefined) {
    const error = answerError(failure);
    throw error instanceof EngineError ? buildFailure(failure, record.failed, dockerfile) : error;
  }
  if (id === undefined) throw new EngineError("the engine's answer to the build names no image");
  return id;
}

function eventsOf({ id, aux, stream, status }: BuildLine, trace: BuildTrace): BuildEvent[] {
  if (id === "moby.buildkit.trace" && typeof aux === "string") {
    try {
      return trace.events(aux);
    } catch (error) {
      throw new EngineError(`the engine sent an invalid message of BuildKit: ${messageOf(error)}`, undefined, {
        cause: error,
      });
    }
  }
  const printed = text(stream) ?? (typeof status === "string" && typeof id !== "string" ? `${status}\n` : undefined);
  return printed === undefined ? [] : [{ type: "build-text", text: printed }];
}

function idOf({ id, aux, stream }: BuildLine): string | undefined {
  const named = typeof aux === "object" && aux !== null ? (aux as { ID?: unknown }).ID : undefined;
  if (typeof named === "string" && (id === undefined || id === "" || id === "moby.image.id")) return named;
  return typeof stream === "string" ? BUILT.exec(stream)?.[1] : undefined;
}

/** Returns the longer ID: the classic builder sends the whole ID, and then its first digits. */
function longer(one: string | undefined, other: string | undefined): string | undefined {
  return (other?.length ?? 0) > (one?.length ?? 0) ? other : one;
}

function text(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" ? value : undefined;
}
