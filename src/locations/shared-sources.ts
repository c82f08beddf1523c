import type { PushRequest } from "../request.ts";
import { shareSource, type SharedSource } from "../send/shared/share-source.ts";
import type { Source } from "../send/source.ts";
import type { Context } from "../transfer.ts";
import { openSource, type OpeningLocation } from "./locations.ts";

/** The sources of transfers to several hosts: each is opened once, and its layers are read, packed and cut once for all hosts. */
export class SharedSources implements AsyncDisposable {
  readonly #context: Context;
  readonly #opened = new Map<string, OpeningLocation<SharedSource>>();

  /** @param context the context of all transfers */
  constructor(context: Context) {
    this.#context = context;
  }

  /** Like `openSource`. Disposing of the result leaves the source open for the other hosts. */
  readonly open = (request: PushRequest): OpeningLocation<Source> => ({
    ...this.#opening(request),
    [Symbol.asyncDispose]: async () => {},
  });

  /** Returns whether the space for the shared files has run out. A transfer that failed for this reason can be repeated on its own. */
  async isOutOfSpace(request: PushRequest): Promise<boolean> {
    const source = await this.#opening(request).opened.catch(() => undefined);
    return source?.noSpace !== undefined;
  }

  #opening(request: PushRequest): OpeningLocation<SharedSource> {
    const key = JSON.stringify(request.source);
    const found = this.#opened.get(key);
    if (found !== undefined) return found;
    const location = openSource(request, this.#context);
    const opened = location.opened.then((source) => shareSource(source, this.#context));
    opened.catch(() => {}); // each transfer gets the error
    const opening = {
      ...location,
      opened,
      async [Symbol.asyncDispose]() {
        const source = await opened.catch(() => undefined);
        await source?.[Symbol.asyncDispose]();
        await location[Symbol.asyncDispose]();
      },
    };
    this.#opened.set(key, opening);
    return opening;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const opening of this.#opened.values()) await opening[Symbol.asyncDispose]();
  }
}
