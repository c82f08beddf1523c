/** Reads that go on, by subject: whoever asks for the same meanwhile shares the read and its result. Nothing is kept afterwards. */
export class SharedReads {
  readonly #bySubject = new Map<string, Map<string, Promise<unknown>>>();

  /** Returns what the read of this name results in; starts it with `read` if it does not go on. A name always has the same type of result. */
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

  /** Has the next who ask for something of this subject read anew. Reads that go on end for those who wait for them. */
  forget(subject: string): void {
    this.#bySubject.delete(subject);
  }
}
