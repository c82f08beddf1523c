import { run } from "../test/testbed/programs.ts";

/** Folders that can be emptied, saved with their content, and restored. */
export class Memories {
  readonly #folders: string[];

  constructor(folders: string[]) {
    this.#folders = folders;
  }

  async forget(): Promise<void> {
    for (const folder of this.#folders)
      await run("sh", ["-ec", `mkdir -p "$0"; find "$0" -mindepth 1 -delete`, folder]);
  }

  async remember(): Promise<void> {
    for (const folder of this.#folders) await run("sh", ["-ec", `rm -rf "$0.kept"; cp -a "$0" "$0.kept"`, folder]);
  }

  async putBack(): Promise<void> {
    await this.forget();
    for (const folder of this.#folders) await run("sh", ["-ec", `cp -a "$0.kept/." "$0/"`, folder]);
  }
}
