import type { PushRequest } from "../request.ts";
import type { WatchedEngine } from "./watched-engine.ts";

/** An image whose tag has moved. */
export interface MovedImage {
  request: PushRequest;
  /** Its current ID; undefined if the image does not exist, which is possible only at the start. */
  id: string | undefined;
}

/** The images that are watched, and the ID of each that was sent last. */
export class WatchedImages {
  readonly #requests: readonly PushRequest[];
  /** Contains also an image whose transfer has failed, unless the link failed: it is not tried again before its tag moves. */
  readonly #last = new Map<PushRequest, string>();

  constructor(requests: readonly PushRequest[]) {
    this.#requests = requests;
  }

  /** Returns all images, in the order of the command line. */
  async all(engine: Pick<WatchedEngine, "idOf">): Promise<MovedImage[]> {
    return await Promise.all(this.#requests.map(async (request) => ({ request, id: await engine.idOf(request) })));
  }

  /** Returns the images whose tags have moved since they were sent last. A removed tag counts as moved when it exists again. */
  async moved(engine: Pick<WatchedEngine, "idOf">): Promise<MovedImage[]> {
    return (await this.all(engine)).filter(({ request, id }) => id !== undefined && id !== this.#last.get(request));
  }

  /** Records that the transfer of an image is over. */
  settle({ request, id }: MovedImage): void {
    if (id !== undefined) this.#last.set(request, id);
  }
}
