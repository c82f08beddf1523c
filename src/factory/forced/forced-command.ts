import { Failure } from "../../output/errors.ts";

/** An option that a client may use. */
export interface ClientOption {
  /** Without dashes, e.g. `build-arg` */
  name: string;
  /** e.g. `f` */
  short?: string | undefined;
  takesValue: boolean;
}

/** The words of a client's command. No shell has expanded them, and none ever will. */
export interface ForcedOrder {
  name: string;
  /** In the client's order; `value` is undefined for an option without a value. */
  options: { name: string; value?: string }[];
}

/** Maximum characters and words of a command. Long enough for some build arguments. */
const MAX_LENGTH = 4096;
const MAX_WORDS = 64;
/**
 * The characters that a command may consist of. Quotes and other characters with a meaning for a shell are refused instead of being used verbatim,
 * because a person who writes them expects that meaning. Letters are ASCII, as in image names, so no letter can look like another one.
 */
const ALLOWED = /^[A-Za-z0-9 ._:/@=+,%^-]*$/;
/** The optional first words of a command. Without them, the command is NAME and its options. */
const BEGINNING = ["docker-over-ssh", "build"];

/**
 * Reads the command that an ssh client has requested, which sshd passes in SSH_ORIGINAL_COMMAND:
 *
 *     [docker-over-ssh build --stdin] [options] NAME
 *
 * Words are separated by spaces. Options are those in `allowed`, as `--option value` or `--option=value`. For any other command, throws a Failure
 * `refused` with one sentence.
 */
export function readForcedCommand(command: string | undefined, allowed: readonly ClientOption[]): ForcedOrder {
  if (command === undefined || command.trim() === "") throw refused("this key builds images, and has no shell");
  if (command.length > MAX_LENGTH) throw refused(`the command has more than ${MAX_LENGTH} characters`);
  if (!ALLOWED.test(command)) throw refused("the command has a character that this key does not accept");
  const words = command.split(" ").filter((word) => word !== "");
  if (words.length > MAX_WORDS) throw refused(`the command has more than ${MAX_WORDS} words`);
  return readWords(withoutBeginning(words), allowed);
}

function withoutBeginning(words: readonly string[]): readonly string[] {
  const isNot = (word: string): boolean => word !== "--stdin";
  if (words[0] !== BEGINNING[0]) return words.filter(isNot);
  if (words[1] !== BEGINNING[1]) throw refused("this key runs docker-over-ssh build, and no other command");
  const rest = words.slice(BEGINNING.length);
  // Without --stdin, the command serves a tunnel to docker-over-ssh on the other side, whose orders are not checked.
  if (!rest.includes("--stdin"))
    throw refused("this key accepts an archive on stdin (--stdin), but no connection of docker-over-ssh");
  return rest.filter(isNot);
}

function readWords(words: readonly string[], allowed: readonly ClientOption[]): ForcedOrder {
  const options: ForcedOrder["options"] = [];
  const names: string[] = [];
  for (let at = 0; at < words.length; at += 1) {
    const word = words[at] ?? "";
    if (!word.startsWith("-")) {
      names.push(word);
      continue;
    }
    const [flag = "", ...valueParts] = word.split("=");
    const option = allowed.find(
      ({ name, short }) => flag === `--${name}` || (short !== undefined && flag === `-${short}`),
    );
    if (option === undefined) throw refused(`this key does not accept the option ${flag}`);
    const { name } = option;
    if (!option.takesValue) {
      if (valueParts.length > 0) throw refused(`--${name} accepts no value`);
      options.push({ name });
      continue;
    }
    const value = valueParts.length > 0 ? valueParts.join("=") : words[(at += 1)];
    if (value === undefined || (valueParts.length === 0 && value.startsWith("-")))
      throw refused(`--${name} needs a value`);
    options.push({ name, value });
  }
  const [name] = names;
  if (name === undefined) throw refused("the command names no image");
  if (names.length > 1) throw refused("the command names more than one image");
  return { name, options };
}

function refused(message: string): Failure {
  return new Failure("refused", message, {
    expected: "docker-over-ssh build --stdin NAME, or NAME alone",
    hint: "For instance git archive HEAD | ssh HOST team/app:v2",
  });
}
