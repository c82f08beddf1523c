import type { DockerApi } from "./docker-api.ts";
import { jsonLines } from "./json-lines.ts";

/**
 * Follows the events of images: a name that is given or taken, an image that is loaded or removed. Resolves when the engine answers; yields
 * for each event from then on, and ends only with the connection, which is no success. What has changed is for the caller to look up: engines
 * name images in their events in different ways.
 */
export async function imageEvents(api: DockerApi, signal: AbortSignal): Promise<AsyncIterable<void>> {
  const query = { filters: { type: ["image"] } };
  return eventsIn(await api.stream("GET", "/events", { query, signal, timeout: "none" }));
}

async function* eventsIn(body: AsyncIterable<Buffer>): AsyncGenerator<void, void, undefined> {
  for await (const _ of jsonLines(body)) yield;
}
