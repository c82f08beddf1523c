import type { IncomingMessage } from "node:http";
import { oneLine } from "docker-over-ssh/builds";
import { Refusal } from "../refusal.ts";
import { readAnswer } from "./read-answer.ts";

const MAX_ERROR = 64 * 1024;
/** Maximum characters of a registry's message that are passed on */
const MAX_WORDS = 500;

/** Reads the error of a registry (OCI distribution spec 1.1, "Error Codes"), and formats it like docker: `denied: …`. */
export async function registryError(answer: IncomingMessage, host: string): Promise<Refusal> {
  const status = answer.statusCode ?? 0;
  const message = messageIn(await readAnswer(answer, MAX_ERROR).catch(() => ""));
  const isDenied = status === 401 || status === 403;
  const text =
    message ??
    (status === 401
      ? `unauthorized: ${host} asks for the credentials of somebody who may push (docker login)`
      : `${host} has answered with status ${status}`);
  return new Refusal(isDenied ? "push.denied" : "push.registry", text, {
    statusCode: isDenied ? 403 : status >= 400 && status < 500 ? status : 502,
  });
}

function messageIn(text: string): string | undefined {
  let found: unknown;
  try {
    found = JSON.parse(text);
  } catch {
    return undefined;
  }
  const { errors } = (found ?? {}) as { errors?: unknown };
  if (!Array.isArray(errors)) return undefined;
  const [first] = errors as { code?: unknown; message?: unknown }[];
  const { code, message } = first ?? {};
  if (typeof code !== "string") return undefined;
  const words = code.toLowerCase().replaceAll("_", " ");
  return oneLine(typeof message === "string" && message !== "" ? `${words}: ${message}` : words).slice(0, MAX_WORDS);
}
