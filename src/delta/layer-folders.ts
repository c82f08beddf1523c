/** The maximum length of a folder's path, in bytes of UTF-8: PATH_MAX of Linux. */
const MAX_PATH = 4096;
export const MAX_FOLDERS = 32;
/** The maximum number of top-level folders. If more have files, the result is `/`. */
const MAX_TOP = 8;

/** The names on the path, from the root, that are common to all files of a second-level folder. */
type CommonPath = readonly string[];

interface TopFolder {
  /** Set when it directly contains files, or too many folders with files. */
  isWhole: boolean;
  /** By the name of the folder in it. */
  folders: Map<string, CommonPath>;
}

/**
 * Finds the folders of an image that contain a layer's files: at most {@link MAX_FOLDERS} absolute paths, none within another. The
 * receiver looks for pieces in the same folders of an older image. A folder on the second level (/app/node_modules, /usr/lib) is not
 * divided further, because the files of a new version may be next to those of the old one. If all its files are deeper, the result is
 * their common folder. Memory does not grow with the number of files.
 */
export class LayerFolders {
  #isEverywhere = false;
  readonly #tops = new Map<string, TopFolder>();
  #last: string | undefined;

  /** Adds a file by its path in the tar. Undefined stands for data that could be anywhere. */
  add(path: string | undefined): void {
    if (this.#isEverywhere || (path !== undefined && path === this.#last)) return;
    this.#last = path;
    const [top, second, ...deeper] = path === undefined ? [] : folderOf(path);
    if (top === undefined) this.#isEverywhere = true;
    else this.#addTo(this.#topOf(top), top, second, deeper);
    if (this.#tops.size > MAX_TOP) this.#isEverywhere = true;
    if (this.#isEverywhere) this.#tops.clear();
  }

  #topOf(name: string): TopFolder {
    const top = this.#tops.get(name) ?? { isWhole: false, folders: new Map<string, CommonPath>() };
    this.#tops.set(name, top);
    return top;
  }

  #addTo(top: TopFolder, name: string, second: string | undefined, deeper: string[]): void {
    if (second === undefined || top.folders.size > MAX_FOLDERS) top.isWhole = true;
    if (top.isWhole || second === undefined) return top.folders.clear();
    const known = top.folders.get(second);
    top.folders.set(
      second,
      known === undefined ? [name, second, ...deeper] : commonOf(known, [name, second, ...deeper]),
    );
  }

  /** Returns the folders in the order of the tar; none for a layer without files. */
  list(): string[] {
    if (this.#isEverywhere) return ["/"];
    let room = MAX_FOLDERS - this.#tops.size;
    return [...this.#tops].flatMap(([name, { isWhole, folders }]) => {
      if (isWhole || folders.size - 1 > room) return [`/${name}`];
      room -= folders.size - 1;
      return [...folders.values()].map((parts) => `/${parts.join("/")}`);
    });
  }
}

/** Returns whether a file, by its path in a tar, is in a folder of {@link LayerFolders}. */
export function isWithin(path: string | undefined, folder: string | undefined): boolean {
  if (path === undefined || folder === undefined) return false;
  return `/${path.replace(/^[./]*\//, "")}`.startsWith(`${folder}/`);
}

/** Returns whether a path from the peer is a valid result of {@link LayerFolders}. */
export function isFolderPath(path: string): boolean {
  if (Buffer.byteLength(path) > MAX_PATH || path.includes("\0")) return false;
  return path === "/" || (path.startsWith("/") && path.slice(1).split("/").every(isName));
}

function isName(part: string): boolean {
  return part !== "" && part !== "." && part !== "..";
}

/** Returns the names of the folders that lead to a file, as far as they are known; none for a path with `..`. */
function folderOf(path: string): string[] {
  const parts = path.split("/").filter((part) => part !== "" && part !== ".");
  if (parts.includes("..")) return [];
  const folder = parts.slice(0, -1);
  // Decoding has altered a name that is not UTF-8.
  const unknown = folder.findIndex((part) => part.includes("\uFFFD") || part.includes("\0"));
  if (unknown >= 0) folder.length = unknown;
  while (Buffer.byteLength(folder.join("/")) >= MAX_PATH) folder.pop();
  return folder;
}

function commonOf(known: CommonPath, folder: CommonPath): CommonPath {
  const differing = known.findIndex((part, at) => part !== folder[at]);
  return differing < 0 ? known : known.slice(0, differing);
}
