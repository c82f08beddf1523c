/** An engine alone, at the end of a command. */
const ENGINE = /\bsystem\s+dial-stdio$/;

/** Does this command lead to an engine itself? */
export function namesEngine(command: readonly string[]): boolean {
  return ENGINE.test(command.join(" "));
}

/** Does this side say what the image is called at the far end? A command that somebody typed says so itself. */
export function tellsName(command: readonly string[]): boolean {
  return namesEngine(command) || (command[0] ?? "").startsWith("ssh://");
}
