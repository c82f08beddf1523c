import { readdirSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { Engine } from "../test/testbed/engine.ts";
import { until } from "../test/testbed/wait.ts";
import { machinesOf, type Stage } from "./stage.ts";
import { contentFolders } from "./stores.ts";

export interface State {
  references: string[];
  /** All layers, blobs and images in the engine's folders. */
  contents: string[];
}

/** The receiving engine. It is reset after each run, and compared with its state before the run. */
export class Receiver {
  readonly #engine: Engine;
  readonly #folders: string[];

  constructor({ bed, store }: Stage) {
    this.#engine = bed.far;
    this.#folders = contentFolders(store).map((path) => join(machinesOf(bed).far.dataFolder, path));
  }

  /** Returns the engine's content when it has not changed for two seconds, because containerd collects garbage asynchronously. */
  async state(): Promise<State> {
    let before: string[] | undefined;
    let contents = this.#contents();
    while (before?.join() !== contents.join()) {
      before = contents;
      await delay(2000);
      contents = this.#contents();
    }
    return { references: (await this.#engine.listing()).references, contents };
  }

  /** Removes everything that has arrived since. Throws an error if the content then differs from the state before. */
  async putBack({ references, contents }: State): Promise<void> {
    for (const reference of (await this.#engine.listing()).references) {
      // An error is ignored, because a name may have been removed with the previous one. The comparison of the content decides.
      if (!references.includes(reference)) await this.#engine.docker("rmi", "--force", reference).catch(() => {});
    }
    await this.#engine.docker("image", "prune", "--force");
    await until("the receiver is what it was", () => this.#contents().join() === contents.join(), {
      timeout: 60_000,
      explain: () => differences(this.#contents(), contents),
    });
    const now = (await this.#engine.listing()).references;
    if (now.join() !== references.join()) throw new Error(`the receiver has ${now.join()}, not ${references.join()}`);
  }

  /** Restarts the engine, because an interrupted load can hang the next one (moby #51623). */
  async restart(): Promise<void> {
    await this.#engine.stop();
    await this.#engine.start();
  }

  #contents(): string[] {
    return this.#folders.flatMap((folder) =>
      entriesOf(folder)
        .filter((entry) => entry !== "l") // overlay2's short names for layers
        .map((entry) => join(folder, entry))
        .toSorted(),
    );
  }
}

function entriesOf(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return []; // does not exist yet
  }
}

function differences(now: string[], then: string[]): string {
  const more = now.filter((entry) => !then.includes(entry));
  const less = then.filter((entry) => !now.includes(entry));
  return `Too much: ${more.length} ${more.slice(0, 3).join(" ")}; missing: ${less.length} ${less.slice(0, 3).join(" ")}`;
}
