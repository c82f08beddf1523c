import type { BuildContext, ContextFile } from "../../build-context/build-context.ts";
import { entryPath } from "../../build-context/paths.ts";

/** Bytes of a Dockerfile that are read. */
const MAX_DOCKERFILE = 1024 * 1024;

/** Returns the text of a context's Dockerfile; an empty one where there is none, or it is too large. */
export async function readDockerfile(path: string, context: BuildContext | undefined): Promise<string> {
  const wanted = entryPath(path);
  const file = context?.entries.find((entry): entry is ContextFile => entry.kind === "file" && entry.path === wanted);
  if (context === undefined || file === undefined || file.size > MAX_DOCKERFILE) return "";
  const chunks: Uint8Array[] = [];
  for await (const chunk of context.read(file)) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks).toString("utf8");
}

/**
 * Whether a step may ask for a secret or an agent. BuildKit passes over one that is not given, unless it is required, and only where there is a
 * session to ask: without one it ends the build with "no active sessions".
 */
export function mayAsk(dockerfile: string): boolean {
  return /--mount=\S*\btype=(?:secret|ssh)\b/i.test(dockerfile);
}
