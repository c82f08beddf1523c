import { on } from "node:events";
import { EventEmitter } from "node:events";
import type { ApiObject, EventFilter } from "../backend.ts";
import { readTime } from "../images/times.ts";

/** Maximum events of a tenant that are stored for `--since` */
const MAX_STORED = 256;

type Kind = "tag" | "untag" | "delete" | "push" | "save" | "build";

interface ImageEvent {
  kind: Kind;
  /** An ID, or the name that was pushed */
  id: string;
  name: string | undefined;
  /** ms since 1970 */
  time: number;
}

/** Events of images. The guard records its own actions, because buildah has no events. */
export class ImageEvents {
  readonly #emitter = new EventEmitter().setMaxListeners(0);
  readonly #stored = new Map<string, ImageEvent[]>();

  emit(tenant: string, kind: Kind, id: string, name?: string): void {
    const event = { kind, id, name, time: Date.now() };
    const stored = this.#stored.get(tenant) ?? [];
    this.#stored.set(tenant, [...stored, event].slice(-MAX_STORED));
    this.#emitter.emit(tenant, event);
  }

  forget(tenant: string): void {
    this.#stored.delete(tenant);
  }

  /** Yields stored and new events. Ends at `until`, or with the signal. */
  async *read(tenant: string, { since, until, filters }: EventFilter, signal: AbortSignal): AsyncGenerator<ApiObject> {
    const now = Date.now();
    const from = since === undefined ? Infinity : readTime(since, now);
    const end = until === undefined ? Infinity : readTime(until, now);
    const stop = new AbortController();
    const timer =
      end === Infinity || end <= now ? undefined : setTimeout(() => stop.abort(), Math.min(end - now, 2 ** 31 - 1));
    const ended = AbortSignal.any([signal, stop.signal]);
    // Listens before it yields the stored events, so that none is lost in between.
    const newEvents = on(this.#emitter, tenant, { signal: ended });
    try {
      for (const event of this.#stored.get(tenant) ?? []) {
        if (event.time >= from && event.time <= end && matches(event, filters)) yield objectOf(event);
      }
      if (end <= now) return;
      for await (const [event] of newEvents as AsyncIterable<[ImageEvent]>) {
        if (matches(event, filters)) yield objectOf(event);
      }
    } catch (error) {
      if (!ended.aborted) throw error;
    } finally {
      clearTimeout(timer);
      stop.abort();
    }
  }
}

function matches({ kind, id, name }: ImageEvent, filters: EventFilter["filters"]): boolean {
  return Object.entries(filters).every(([key, values]) => {
    if (values.length === 0) return true;
    if (key === "type") return values.includes("image");
    if (key === "event") return values.includes(kind);
    if (key === "image") return values.some((value) => value === id || value === name || `${value}:latest` === name);
    return false;
  });
}

function objectOf({ kind, id, name, time }: ImageEvent): ApiObject {
  return {
    status: kind,
    id,
    Type: "image",
    Action: kind,
    Actor: { ID: id, Attributes: name === undefined ? {} : { name } },
    scope: "local",
    time: Math.floor(time / 1000),
    timeNano: time * 1_000_000,
  };
}
