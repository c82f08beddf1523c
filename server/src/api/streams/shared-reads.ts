/**
 * Shares reads in progress, by subject: callers that request the same in the meantime share the read and its result.
 * Stores nothing afterwards.
 */
export class SharedReads {
  readonly #bySubject = new Map<string, Map<string, Promise<unknown>>>();

  /**
   * Returns the result of the read with this name; starts it with `read` if none is in progress. A name always has the
   * same type of result.
   */
  share<T>(subject: string, name: string, read: () => Promise<T>): Promise<T> {
    const reads = this.#bySubject.get(subject) ?? new Map<string, Promise<unknown>>();
    const known = reads.get(name);
    if (known !== undefined) return known as Promise<T>;
    const promise = read().finally(() => {
      reads.delete(name);
      if (reads.size === 0 && this.#bySubject.get(subject) === reads) this.#bySubject.delete(subject);
    });
    reads.set(name, promise);
    this.#bySubject.set(subject, reads);
    return promise;
  }

  /** Makes later callers read this subject anew. Reads in progress still finish for their callers. */
  forget(subject: string): void {
    this.#bySubject.delete(subject);
  }
}
