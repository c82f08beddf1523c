import type { BuildContext, ContextFile } from "../../build-context/build-context.ts";
import { toEntryPath } from "../../build-context/paths.ts";

/** The maximum size of a Dockerfile in bytes. */
const MAX_DOCKERFILE = 1024 * 1024;

/** Returns the text of a context's Dockerfile; "" if it does not exist or is too large. */
export async function readDockerfile(path: string, context: BuildContext | undefined): Promise<string> {
  const wanted = toEntryPath(path);
  const file = context?.entries.find((entry): entry is ContextFile => entry.kind === "file" && entry.path === wanted);
  if (context === undefined || file === undefined || file.size > MAX_DOCKERFILE) return "";
  const chunks: Uint8Array[] = [];
  for await (const chunk of context.read(file)) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks).toString("utf8");
}

/**
 * Returns whether a step may request a secret or an agent. Such a build needs a session: without one, BuildKit ends it with "no active
 * sessions". With one, BuildKit ignores a missing secret or agent unless it is required.
 */
export function mayRequestSecrets(dockerfile: string): boolean {
  return /--mount=\S*\btype=(?:secret|ssh)\b/i.test(dockerfile);
}
