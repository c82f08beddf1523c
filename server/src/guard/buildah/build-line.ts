import type { ApiObject } from "../backend.ts";

/** Lines about buildah's own handling of images, which docker does not print */
const NOISE =
  /^(?:Getting image source signatures|Copying (?:blob|config) |Writing manifest to image destination|Storing signatures|(?:\[\d+\/\d+\] )?COMMIT(?: |$)|Successfully tagged |time="[^"]*" level=|Error: )/;

/** Translates a line of buildah to a line of docker's classic builder. Returns undefined for a line without an equivalent. */
export function streamLine(line: string): string | undefined {
  if (NOISE.test(line) || /^[0-9a-f]{64}$/.test(line)) return undefined;
  const step = /^(?:\[\d+\/\d+\] )?STEP (\d+\/\d+): (.*)$/s.exec(line);
  if (step !== null) return `Step ${step[1]} : ${step[2]}\n`;
  const cached = /^--> Using cache ([0-9a-f]{12})/.exec(line);
  if (cached !== null) return ` ---> Using cache\n ---> ${cached[1]}\n`;
  const built = /^(?:\[\d+\/\d+\] )?--> ([0-9a-f]{11,64})$/.exec(line);
  if (built !== null) return ` ---> ${built[1]?.slice(0, 12)}\n`;
  return `${line}\n`;
}

/** The exit status that shells report for a killed program */
const KILLED = 137;

/**
 * Returns the error line of a failed build in docker's format. For a command, it contains the exit status.
 *
 * @param ranOutOfMemory set by the caller, because buildah does not know why a step was killed, and reports status 1
 */
export function errorLine(error: string, ranOutOfMemory: boolean): ApiObject {
  const message = error.replace(/error during bulk transfer for copier\.request\{.*\}: copier: /s, "");
  const [, command, status] = /STEP "RUN (.*)": while running runtime: exit status (\d+)$/s.exec(message) ?? [];
  const reason = ranOutOfMemory ? ": the memory that builds of this tenant may have was used up" : "";
  if (command === undefined || status === undefined) return lineOf(`${message}${reason}`);
  const code = ranOutOfMemory ? KILLED : Number(status);
  return lineOf(`The command '${command}' returned a non-zero code: ${code}${reason}`, code);
}

function lineOf(message: string, code?: number): ApiObject {
  return { errorDetail: { ...(code !== undefined && { code }), message }, error: message };
}
