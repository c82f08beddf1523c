import type { RemoteProgram } from "../../output/remote-programs.ts";
import type { RemoteLine } from "./remote-lines.ts";

/**
 * Decides which lines the remote script may write next. A hostile remote side may write other lines. A line can make this side send
 * something or wait longer only for a program that this side allows, and only once.
 */
export class LineSequence {
  readonly #programs: readonly RemoteProgram[];
  /** Kinds of line that have arrived for the program that is tried. */
  readonly #arrived = new Set<string>();
  #program: RemoteProgram | undefined;

  constructor(programs: readonly RemoteProgram[]) {
    this.#programs = programs;
  }

  /** Records a line. Returns whether the script may write it now. */
  accepts(line: RemoteLine): boolean {
    switch (line.kind) {
      case "pass":
      case "nothing":
        return true;
      case "try":
        this.#program = line.program;
        this.#arrived.delete("send");
        return this.#programs.includes(line.program);
      case "send":
      case "run":
        return this.#program !== undefined && this.#program !== "installed" && this.#isFirst(line);
      case "pull":
      case "image":
        return this.#programs.includes("container") && this.#isFirst(line);
      case "more":
        return this.#programs.includes(line.program) && this.#isFirst(line, line.program);
      case "system":
      case "send-node":
        return this.#programs.includes("node-sent") && this.#isFirst(line);
      case "engine":
        return this.#programs.includes("engine");
    }
  }

  #isFirst({ kind }: RemoteLine, program = ""): boolean {
    const key = kind + program;
    const isFirst = !this.#arrived.has(key);
    this.#arrived.add(key);
    return isFirst;
  }
}
