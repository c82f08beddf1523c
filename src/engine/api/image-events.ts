import type { DockerApi } from "./docker-api.ts";
import { jsonLines } from "./json-lines.ts";

/**
 * Follows the events of images: names are added or removed, images are loaded or removed. Resolves when the engine answers, and yields for
 * each event from then on. Ends only when the connection does, which is an error. The caller must query the changes, because engines
 * identify images in events in different ways.
 */
export async function imageEvents(api: DockerApi, signal: AbortSignal): Promise<AsyncIterable<void>> {
  const query = { filters: { type: ["image"] } };
  return eventsIn(await api.stream("GET", "/events", { query, signal, timeout: "none" }));
}

async function* eventsIn(body: AsyncIterable<Buffer>): AsyncGenerator<void, void, undefined> {
  for await (const _ of jsonLines(body)) yield;
}
