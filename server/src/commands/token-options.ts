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
  description: "Makes a token, adds its hash to a token file, and prints the token, which is nowhere else.",
  arguments: [{ term: "<NAME>", description: "who will use it, e.g. ci: jobs are shown with this name" }],
  options: [
    { flags: "--token-file <file>", description: "the file, which is made if it is not there (default: tokens.json)" },
    {
      flags: "--scope <scope>",
      description: `${SCOPES.join(", ")}; may be repeated (default: build and read)`,
      parse: parseScope,
      repeats: true,
    },
    {
      flags: "--image <pattern>",
      description: "names that it may build, e.g. 'registry.example.com/team/*'; may be repeated (default: any)",
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
