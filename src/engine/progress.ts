import type { EngineProgress } from "./engine.ts";
import { answerError } from "./engine-errors.ts";
import { jsonLines } from "./json-stream.ts";

/** A line of a push or a pull (moby `api/types/jsonstream`); every field may be missing. */
interface ProgressLine {
  id?: string;
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
  for await (const value of jsonLines(body)) {
    const line = (typeof value === "object" && value !== null ? value : {}) as ProgressLine;
    const error = line.errorDetail?.message ?? line.error;
    if (error !== undefined) throw answerError(error);
    if (line.status !== undefined) onProgress?.(progressOf(line, line.status));
  }
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
