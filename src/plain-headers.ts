/**
 * A substitute for `Headers` of the Fetch standard, with the methods that the library for gRPC uses. The build inserts it, because Node's
 * own class loads all of fetch at its first use, which takes 20 ms (Node 20; 15 ms in Node 24) while the other side of a transfer waits.
 * Like Node's class, it joins several values of a name, and iterates in the order of the names.
 */
export class PlainHeaders {
  readonly #values = new Map<string, string>();

  constructor(init?: Iterable<readonly [string, string]> | Record<string, string>) {
    if (init === undefined) return;
    const entries = Symbol.iterator in init ? init : Object.entries(init);
    for (const [name, value] of entries) this.append(name, value);
  }

  get(name: string): string | null {
    return this.#values.get(name.toLowerCase()) ?? null;
  }

  has(name: string): boolean {
    return this.#values.has(name.toLowerCase());
  }

  set(name: string, value: string): void {
    this.#values.set(name.toLowerCase(), trimmed(value));
  }

  append(name: string, value: string): void {
    const before = this.get(name);
    this.set(name, before === null ? value : `${before}, ${trimmed(value)}`);
  }

  delete(name: string): void {
    this.#values.delete(name.toLowerCase());
  }

  forEach(each: (value: string, name: string, headers: PlainHeaders) => void): void {
    for (const [name, value] of this) each(value, name, this);
  }

  [Symbol.iterator](): IterableIterator<[string, string]> {
    return [...this.#values].toSorted(([one], [other]) => (one < other ? -1 : 1))[Symbol.iterator]();
  }
}

/** Removes the spaces, tabs and line ends around a value (Fetch, "normalize"). */
function trimmed(value: string): string {
  return value.replaceAll(/^[\t\n\r ]+|[\t\n\r ]+$/g, "");
}
