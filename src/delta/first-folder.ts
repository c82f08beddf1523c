import { isWithin, LayerFolders } from "./layer-folders.ts";

/** Where all of a layer's first files lie, when that is one folder: most of the others will lie there, too. */
export class FirstFolder {
  readonly #folders = new LayerFolders();
  #isDecided = false;
  #folder: string | undefined;
  #outside = 0;

  /** Takes a file's path, as its tar has it, and how many bytes of it there are. */
  add(path: string | undefined, bytes: number): void {
    if (!this.#isDecided) this.#folders.add(path);
    else if (!isWithin(path, this.#folder)) this.#outside += bytes;
  }

  /** Enough have been seen. Does nothing the second time. */
  decide(): void {
    if (this.#isDecided) return;
    this.#isDecided = true;
    const [folder, ...others] = this.#folders.list();
    if (others.length === 0 && folder !== "/") this.#folder = folder;
  }

  /** Absolute, in an image. Undefined when they lie in several, and as long as it is not decided. */
  get folder(): string | undefined {
    return this.#folder;
  }

  /** Bytes that came after that and do not lie there. */
  get outside(): number {
    return this.#outside;
  }
}
