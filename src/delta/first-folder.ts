import { isWithin, LayerFolders } from "./layer-folders.ts";

/** Finds the folder that contains all of a layer's first files, if any: most of the later files are in it as well. */
export class FirstFolder {
  readonly #folders = new LayerFolders();
  #isDecided = false;
  #folder: string | undefined;
  #bytesOutside = 0;

  /** Adds a piece of a file: its path in the tar, and the bytes of the piece. */
  add(path: string | undefined, bytes: number): void {
    if (!this.#isDecided) this.#folders.add(path);
    else if (!isWithin(path, this.#folder)) this.#bytesOutside += bytes;
  }

  /** Chooses the folder of the files added so far. Further calls do nothing. */
  decide(): void {
    if (this.#isDecided) return;
    this.#isDecided = true;
    const [folder, ...others] = this.#folders.list();
    if (others.length === 0 && folder !== "/") this.#folder = folder;
  }

  /** An absolute path within the image. Undefined before {@link decide}, and if the first files are in several folders. */
  get folder(): string | undefined {
    return this.#folder;
  }

  /** Bytes of files that were added after {@link decide} and are outside the folder. */
  get bytesOutside(): number {
    return this.#bytesOutside;
  }
}
