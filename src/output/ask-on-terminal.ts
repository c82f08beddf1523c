import { openSync } from "node:fs";
import { ReadStream, WriteStream } from "node:tty";

export interface AskOptions {
  /** Echo the typed characters. */
  isShown: boolean;
  /** Ends the question. */
  signal?: AbortSignal;
}

/**
 * Asks a question on the terminal of this process and returns the line that is typed; undefined after Ctrl-D, and after Ctrl-C where what is
 * typed is not shown. The caller must not write to the terminal until the promise settles. Throws the signal's reason, and the system's error
 * if there is no terminal.
 */
export async function askOnTerminal(question: string, { isShown, signal }: AskOptions): Promise<string | undefined> {
  const input = new ReadStream(openSync("/dev/tty", "r"));
  const screen = new WriteStream(openSync("/dev/tty", "w"));
  try {
    if (!isShown) input.setRawMode(true);
    screen.write(question);
    return await readLine(input, signal);
  } finally {
    if (!isShown || signal?.aborted === true) screen.write("\n");
    if (!isShown) input.setRawMode(false);
    input.destroy();
    screen.destroy();
  }
}

const CTRL_C = "\u0003";
const CTRL_D = "\u0004";
const BACKSPACE = /[\b\u007f]/;

async function readLine(input: ReadStream, signal: AbortSignal | undefined): Promise<string | undefined> {
  let typed = "";
  let onAbort = (): void => {};
  try {
    return await new Promise((resolve, reject) => {
      onAbort = () => reject(signal?.reason as Error);
      if (signal?.aborted === true) return onAbort();
      signal?.addEventListener("abort", onAbort);
      input.on("data", (chunk: Buffer) => {
        for (const character of chunk.toString("utf8")) {
          if (character === "\r" || character === "\n") return resolve(typed);
          if (character === CTRL_C || character === CTRL_D) return resolve(undefined);
          typed = BACKSPACE.test(character) ? typed.slice(0, -1) : typed + character;
        }
      });
      input.once("error", reject).once("end", () => resolve(undefined));
    });
  } finally {
    signal?.removeEventListener("abort", onAbort);
  }
}
