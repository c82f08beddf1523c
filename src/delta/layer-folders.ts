/** Bytes of a root, in UTF-8: PATH_MAX of Linux. */
const MAX_PATH = 4096;
export const MAX_FOLDERS = 32;
/** Files in more folders than that of an image's own folder lie everywhere. */
const MAX_TOP = 8;

/** The folders that all of a folder's files lie in have this path in common, from the image's own folder on. */
type Common = readonly string[];

/** A folder right under the image's own one. */
interface Top {
  /** Has it files itself, or too many folders that do? Then it is a root as a whole. */
  isWhole: boolean;
  /** By the name of a folder in it. */
  folders: Map<string, Common>;
}

/**
 * In which folders of an image do a layer's files lie? At most {@link MAX_FOLDERS}, absolute, none within another. A folder at the
 * second level, /app/node_modules or /usr/lib, is not divided further, for a new version's files may lie beside the old one's;
 * but where all that is in it lies deeper, that is what counts. What is kept does not grow with the files.
 */
export class LayerFolders {
  #isEverywhere = false;
  readonly #tops = new Map<string, Top>();
  #last: string | undefined;

  /** Takes a file's path as its tar has it; undefined for what could lie anywhere. */
  add(path: string | undefined): void {
    if (this.#isEverywhere || (path !== undefined && path === this.#last)) return;
    this.#last = path;
    const [top, second, ...deeper] = path === undefined ? [] : folderOf(path);
    if (top === undefined) this.#isEverywhere = true;
    else this.#addTo(this.#topOf(top), top, second, deeper);
    if (this.#tops.size > MAX_TOP) this.#isEverywhere = true;
    if (this.#isEverywhere) this.#tops.clear();
  }

  #topOf(name: string): Top {
    const top = this.#tops.get(name) ?? { isWhole: false, folders: new Map<string, Common>() };
    this.#tops.set(name, top);
    return top;
  }

  #addTo(top: Top, name: string, second: string | undefined, deeper: string[]): void {
    if (second === undefined || top.folders.size > MAX_FOLDERS) top.isWhole = true;
    if (top.isWhole || second === undefined) return top.folders.clear();
    const known = top.folders.get(second);
    top.folders.set(
      second,
      known === undefined ? [name, second, ...deeper] : commonOf(known, [name, second, ...deeper]),
    );
  }

  /** In the order in which the tar came to them. Empty for a layer without such files. */
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

/** Does a file, by its path as a tar has it, lie in that root? */
export function isWithin(path: string | undefined, root: string | undefined): boolean {
  if (path === undefined || root === undefined) return false;
  return `/${path.replace(/^[./]*\//, "")}`.startsWith(`${root}/`);
}

/** Can this be one, from the other end? */
export function isFolderPath(path: string): boolean {
  if (Buffer.byteLength(path) > MAX_PATH || path.includes("\0")) return false;
  return path === "/" || (path.startsWith("/") && path.slice(1).split("/").every(isName));
}

function isName(part: string): boolean {
  return part !== "" && part !== "." && part !== "..";
}

/** The names of the folders that lead to a file; none for what leads elsewhere, and only those that can be told. */
function folderOf(path: string): string[] {
  const parts = path.split("/").filter((part) => part !== "" && part !== ".");
  if (parts.includes("..")) return [];
  const folder = parts.slice(0, -1);
  // A name that is not UTF-8 has become another.
  const known = folder.findIndex((part) => part.includes("\uFFFD") || part.includes("\0"));
  if (known >= 0) folder.length = known;
  while (Buffer.byteLength(folder.join("/")) >= MAX_PATH) folder.pop();
  return folder;
}

function commonOf(known: Common, folder: Common): Common {
  const differing = known.findIndex((part, at) => part !== folder[at]);
  return differing < 0 ? known : known.slice(0, differing);
}
