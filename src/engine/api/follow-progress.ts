import type { EngineProgress } from "../engine-images.ts";
import { answerError } from "./errors.ts";
import { jsonLines } from "./json-lines.ts";

/** A line of a push, a pull or a load (moby `api/types/jsonstream`); every field may be missing. */
interface ProgressLine {
  id?: string;
  /** What a load says. */
  stream?: string;
  status?: string;
  progressDetail?: { current?: number; total?: number } | null;
  error?: string;
  errorDetail?: { message?: string } | null;
}

/**
 * Reads a progress stream to its end. The engine has answered 200 before it began, so this is where it says that it failed:
 * in a line with `error`, which docker-modem's `followProgress` takes for success.
 *
 * @throws EngineError, or Failure `no-space`
 */
export async function followProgress(
  body: AsyncIterable<Uint8Array>,
  onProgress?: (progress: EngineProgress) => void,
): Promise<void> {
  for await (const line of progressLines(body)) {
    if (line.status !== undefined) onProgress?.(progressOf(line, line.status));
  }
}

/**
 * Reads what an engine says while it loads an archive. A containerd store (28.5) keeps an image that it could not unpack, says
 * "Loaded image: …", and then "Error unpacking image …: …", which is no `error`.
 *
 * @throws EngineError, or Failure `no-space`
 */
export async function followLoad(body: AsyncIterable<Uint8Array>): Promise<void> {
  const failed = ({ stream = "" }: ProgressLine): string | undefined =>
    /^(?:error|failed)\b/i.test(stream) ? stream : undefined;
  for await (const _line of progressLines(body, failed));
}

/** The lines up to an error, which is thrown. All are read before: an answer that is left half-read costs the connection. */
async function* progressLines(
  body: AsyncIterable<Uint8Array>,
  errorOf: (line: ProgressLine) => string | undefined = () => undefined,
): AsyncGenerator<ProgressLine, void, undefined> {
  let failure: string | undefined;
  for await (const value of jsonLines(body)) {
    const line = (typeof value === "object" && value !== null ? value : {}) as ProgressLine;
    failure ??= line.errorDetail?.message ?? line.error ?? errorOf(line);
    if (failure === undefined) yield line;
  }
  if (failure !== undefined) throw answerError(failure);
}

function progressOf({ id, progressDetail }: ProgressLine, status: string): EngineProgress {
  const { current, total } = progressDetail ?? {};
  return {
    status,
    ...(id !== undefined && id !== "" && { id }),
    ...(current !== undefined && { current }),
    ...(total !== undefined && total > 0 && { total }), // -1 or 0: not known
  };
}
