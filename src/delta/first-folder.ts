import { isWithin, LayerFolders } from "./layer-folders.ts";

/** Finds the one folder that contains a layer's first files, if there is one: most of the later files lie there as well. */
export class FirstFolder {
  readonly #folders = new LayerFolders();
  #isDecided = false;
  #folder: string | undefined;
  #bytesOutside = 0;

  /** Adds a piece of a file, by the path in the tar and the bytes of the piece. */
  add(path: string | undefined, bytes: number): void {
    if (!this.#isDecided) this.#folders.add(path);
    else if (!isWithin(path, this.#folder)) this.#bytesOutside += bytes;
  }

  /** Settles on the folder of the files added so far. Further calls do nothing. */
  decide(): void {
    if (this.#isDecided) return;
    this.#isDecided = true;
    const [folder, ...others] = this.#folders.list();
    if (others.length === 0 && folder !== "/") this.#folder = folder;
  }

  /** An absolute path within the image. Undefined before {@link decide}, and when the first files lie in several folders. */
  get folder(): string | undefined {
    return this.#folder;
  }

  /** Bytes of files that were added after {@link decide} and lie outside the folder. */
  get bytesOutside(): number {
    return this.#bytesOutside;
  }
}
