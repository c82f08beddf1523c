import { openSync } from "node:fs";
import { ReadStream, WriteStream } from "node:tty";
import { Failure } from "./errors.ts";

/**
 * Asks for a password on the terminal of this process, and does not show what is typed. Nothing else may be written there meanwhile.
 *
 * @throws Failure `usage` where there is no terminal, or when Ctrl-C or Ctrl-D is typed
 */
export async function askPassword(question: string): Promise<string> {
  const [input, screen] = openTerminal();
  try {
    input.setRawMode(true);
    screen.write(question);
    return await readLine(input);
  } finally {
    screen.write("\n");
    input.setRawMode(false);
    input.destroy();
    screen.destroy();
  }
}

function openTerminal(): [ReadStream, WriteStream] {
  try {
    return [new ReadStream(openSync("/dev/tty", "r")), new WriteStream(openSync("/dev/tty", "w"))];
  } catch (cause) {
    throw new Failure(
      "engine-unreachable",
      "the remote side asks for a password, and there is no terminal to type it",
      {
        expected: "a terminal, or a sudo that asks for no password",
        hint: "Let sudo run it without a password there (NOPASSWD in sudoers), or use a user who needs no sudo.",
        cause,
      },
    );
  }
}

const CTRL_C = "\u0003";
const CTRL_D = "\u0004";
const BACKSPACE = /[\b\u007f]/;

async function readLine(input: ReadStream): Promise<string> {
  let typed = "";
  return await new Promise((resolve, reject) => {
    input.on("data", (chunk: Buffer) => {
      for (const character of chunk.toString("utf8")) {
        if (character === "\r" || character === "\n") return resolve(typed);
        if (character === CTRL_C || character === CTRL_D) return reject(noPassword());
        typed = BACKSPACE.test(character) ? typed.slice(0, -1) : typed + character;
      }
    });
    input.once("error", reject).once("end", () => reject(noPassword()));
  });
}

function noPassword(): Failure {
  return new Failure("engine-unreachable", "no password was typed", {
    expected: "the password that sudo asks for on the remote side",
    hint: "Run the same command again.",
  });
}
