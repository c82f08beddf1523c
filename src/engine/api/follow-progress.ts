import { isDigest } from "../../image/digest.ts";
import type { EngineProgress } from "../engine-images.ts";
import { answerError } from "./errors.ts";
import { jsonLines } from "./json-lines.ts";

/** Matches the last line of a push. A containerd store (28.5) has no field for the digest. */
const PUSHED = /(?:^|: )digest: (\S+) size: \d+$/;

/** A progress line of a push, pull or load (moby `api/types/jsonstream`). */
interface ProgressLine {
  id?: string;
  /** The text of a load. */
  stream?: string;
  status?: string;
  progressDetail?: { current?: number; total?: number } | null;
  error?: string;
  errorDetail?: { message?: string } | null;
  /** Set at the end of a push. */
  aux?: { Digest?: unknown } | null;
}

/**
 * Reads a progress stream to its end. The stream follows status 200, so the engine reports a failure in a line with `error`. Returns the
 * digest of the manifest that a push has sent, if the engine reports it.
 *
 * @throws EngineError, or Failure `no-space`
 */
export async function followProgress(
  body: AsyncIterable<Uint8Array>,
  onProgress?: (progress: EngineProgress) => void,
): Promise<string | undefined> {
  let digest: string | undefined;
  for await (const line of progressLines(body)) {
    if (line.status !== undefined) onProgress?.(progressOf(line, line.status));
    const reported = line.aux?.Digest ?? PUSHED.exec(line.status ?? "")?.[1];
    if (isDigest(reported)) digest = reported;
  }
  return digest;
}

/**
 * Reads the progress of a load. If a containerd store (28.5) cannot unpack an image, it still stores it, and reports "Loaded image: …" and
 * then "Error unpacking image …: …", without a field `error`.
 *
 * @throws EngineError, or Failure `no-space`
 */
export async function followLoad(
  body: AsyncIterable<Uint8Array>,
  onProgress?: (progress: EngineProgress) => void,
): Promise<void> {
  const failed = ({ stream = "" }: ProgressLine): string | undefined =>
    /^(?:error|failed)\b/i.test(stream) ? stream : undefined;
  for await (const line of progressLines(body, failed)) {
    if (line.status !== undefined) onProgress?.(progressOf(line, line.status));
  }
}

/** Yields the lines before an error, and throws the error after the last line: a half-read answer would close the connection. */
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
    ...(total !== undefined && total > 0 && { total }), // -1 or 0: unknown
  };
}
