import { createReadStream } from "node:fs";
import { MAX_SECRET } from "../engine/credentials.ts";
import { Failure, messageOf } from "../output/errors.ts";
import { csvFields } from "./csv-fields.ts";

/** A secret of --secret: its source, not its value. */
export interface SecretSpec {
  id: string;
  source: { kind: "file"; path: string } | { kind: "env"; name: string };
}

/**
 * Parses `--secret` as `docker build` does: `id=ID[,src=PATH|,env=NAME][,type=file|env]`, where `src` may be quoted as in CSV. Without a
 * source, the secret is read from the variable with the name of the ID, else from the file with that name.
 *
 * @throws Failure `usage`. It names keys but no values, because a value may be the secret itself
 */
export function parseSecret(text: string, env: NodeJS.ProcessEnv): SecretSpec {
  const fields = new Map<string, string>();
  for (const field of csvFields(text) ?? refuse("its quotes do not match")) {
    const equals = field.indexOf("=");
    const key = (equals === -1 ? field : field.slice(0, equals)).toLowerCase();
    if (!["id", "src", "source", "env", "type"].includes(key))
      refuse("it has a field that is none of id, src, env, type");
    if (equals === -1) refuse(`${key} has no value`);
    fields.set(key === "source" ? "src" : key, field.slice(equals + 1));
  }
  const { id = "", src = "", env: name = "", type } = Object.fromEntries(fields);
  if (id === "") refuse("it has no id");
  if (type !== undefined && type !== "file" && type !== "env") refuse("its type is neither file nor env");
  if (src !== "" && name !== "") refuse("it has src and env");
  const variable = name || (type === "env" ? src || id : "");
  if (variable !== "") return { id, source: { kind: "env", name: variable } };
  if (src === "" && type !== "file" && env[id] !== undefined) return { id, source: { kind: "env", name: id } };
  return { id, source: { kind: "file", path: src || id } };
}

/**
 * Reads a secret of at most 500 KiB. Called when the build begins, which reports a missing secret before anything is sent.
 *
 * @throws Failure `usage`
 */
export async function readSecret({ id, source }: SecretSpec, env: NodeJS.ProcessEnv): Promise<Buffer> {
  const secret = source.kind === "env" ? fromVariable(id, source.name, env) : await fromFile(id, source.path);
  if (secret.length <= MAX_SECRET) return secret;
  throw new Failure("usage", `the secret ${id} is too large`, {
    expected: `at most ${MAX_SECRET / 1024} KiB, the limit of BuildKit`,
    hint: "Put larger files into the context, or fetch them in the build.",
  });
}

function fromVariable(id: string, name: string, env: NodeJS.ProcessEnv): Buffer {
  const value = env[name];
  if (value !== undefined) return Buffer.from(value);
  throw new Failure("usage", `the variable ${name} of the secret ${id} is not set`, {
    expected: "an environment variable with the secret",
    hint: `Export ${name}, or name a file: --secret id=${id},src=PATH.`,
  });
}

async function fromFile(id: string, path: string): Promise<Buffer> {
  try {
    const chunks: Buffer[] = [];
    // Reads one byte more than the limit, to detect a secret that is too large. A pipe has no size: --secret id=x,src=<(pass show x)
    for await (const chunk of createReadStream(path, { end: MAX_SECRET })) chunks.push(chunk as Buffer);
    return Buffer.concat(chunks);
  } catch (cause) {
    throw new Failure("usage", `the secret ${id} cannot be read: ${messageOf(cause)}`, {
      expected: "a file with the secret",
      hint: `Name it as --secret id=${id},src=PATH, or a variable as env=NAME.`,
      cause,
    });
  }
}

function refuse(why: string): never {
  throw new Failure("usage", `--secret cannot be read: ${why}`, {
    expected: "id=ID,src=PATH or id=ID,env=NAME",
    hint: "The secret itself does not belong on a command line, where others see it: name a file or a variable.",
  });
}
