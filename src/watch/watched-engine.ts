import { setTimeout as delay } from "node:timers/promises";
import type { Engine } from "../engine/engine.ts";
import { openEngine, Sources, type OpeningLocation } from "../locations/locations.ts";
import { Failure } from "../output/errors.ts";
import type { PushRequest } from "../request.ts";
import type { Source } from "../send/source.ts";
import { abortable } from "../streams/abortable.ts";
import { deferred } from "../streams/deferred.ts";
import type { Context } from "../transfer.ts";

/** ms from an event until the images are looked up, so that a burst of events (`docker load` of many tags) is one change. */
const DEBOUNCE = 50;

/** The engine of this side, in which images are watched. Disposing closes its connections. */
export class WatchedEngine implements AsyncDisposable {
  readonly #sources: Sources;
  /** Over ssh, an engine may have one connection for all requests, so the endless stream of events has a connection of its own. */
  readonly #events: OpeningLocation<Engine>;
  readonly #lost = new AbortController();
  #changed = deferred<void>();

  /** @param request the request of any image: all are in one engine */
  constructor(request: PushRequest, context: Context) {
    this.#sources = new Sources(context);
    this.#events = openEngine(request, context);
    this.#follow(context.signal).catch((error: unknown) => this.#lost.abort(error));
  }

  /** Aborted, with a Failure, when the engine's stream of events ends. */
  get signal(): AbortSignal {
    return this.#lost.signal;
  }

  /** Opens the current image of a request. Disposing of the result leaves the engine open. */
  open(request: PushRequest): OpeningLocation<Source> {
    return this.#sources.open(request);
  }

  /** Returns the ID of the image of a request; undefined if it does not exist. */
  async idOf(request: PushRequest): Promise<string | undefined> {
    const engine = await this.#sources.engineOf(request);
    const { source } = request;
    const name = source.kind === "docker-daemon" ? source.image.given : source.given; // without `docker-daemon:`
    return (await engine.inspectImage(name))?.id;
  }

  /** Resolves soon after any image of the engine has changed, or at once if one has changed since the last call. */
  async changed(signal: AbortSignal): Promise<void> {
    await abortable(this.#changed.promise, signal);
    await abortable(delay(DEBOUNCE), signal);
    this.#changed = deferred();
  }

  async #follow(signal: AbortSignal): Promise<never> {
    const engine = await this.#events.opened;
    const events = await engine.imageEvents(signal);
    this.#changed.resolve(); // images may have changed after they were looked up and before this event stream began
    for await (const _ of events) this.#changed.resolve();
    throw new Failure("engine-unreachable", `${engine.address} has stopped sending events`, {
      expected: "a list of events that does not end",
      hint: "Check whether the engine is running: docker info",
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#events[Symbol.asyncDispose]();
    await this.#sources[Symbol.asyncDispose]();
  }
}
