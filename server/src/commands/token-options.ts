import { InvalidReference, InvalidValue, parseNamePattern } from "docker-over-ssh/builds";
import { SCOPES, type Scope } from "../access/client.ts";
import type { CommandText } from "./option.ts";

/** Values of the options of `serve token`. */
export interface TokenOptions {
  tokenFile?: string | undefined;
  scope?: readonly Scope[] | undefined;
  image?: readonly string[] | undefined;
}

export const TOKEN: CommandText = {
  name: "docker-over-ssh serve token",
  description: "Creates a token, adds its hash to a token file, and prints the token. Only its hash is stored.",
  arguments: [{ term: "<NAME>", description: "the user of the token, e.g. ci; shown as the owner of its jobs" }],
  options: [
    { flags: "--token-file <file>", description: "the file, created if it is missing (default: tokens.json)" },
    {
      flags: "--scope <scope>",
      description: `${SCOPES.join(", ")}; may be repeated (default: build and read)`,
      parse: parseScope,
      repeats: true,
    },
    {
      flags: "--image <pattern>",
      description:
        "image names that the token may build, e.g. 'registry.example.com/team/*'; may be repeated (default: any)",
      parse: parseImage,
      repeats: true,
    },
  ],
};

function parseScope(text: string): Scope {
  const scope = SCOPES.find((one) => one === text);
  if (scope !== undefined) return scope;
  throw new InvalidValue(`Expected ${SCOPES.join(", ")}.`);
}

function parseImage(text: string): string {
  try {
    return parseNamePattern(text).given;
  } catch (error) {
    throw error instanceof InvalidReference ? new InvalidValue(`${error.message}.`) : error;
  }
}
