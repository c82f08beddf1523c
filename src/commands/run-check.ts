import { plural, printable } from "../output/describe.ts";
import { Failure } from "../output/errors.ts";
import { checkOnRemote } from "../run-batch/build-on-remote.ts";
import type { BuildRequest } from "../request.ts";
import type { Context } from "../transfer.ts";

/**
 * Runs `build --check`: prints the warnings on stdout, as docker does. Rejects with a Failure `build-failed` if there are any.
 *
 * @param printsText false where stdout is for events (--json)
 */
export async function runCheck(request: BuildRequest, printsText: boolean, context: Context): Promise<void> {
  const { text, count, error } = await checkOnRemote(request, context);
  const warnings = printable(text);
  if (printsText && warnings !== "") process.stdout.write(`${warnings}\n`);
  context.output.event({ type: "dockerfile-checked", text, count, ...(error !== undefined && { error }) });
  if (error !== undefined) {
    throw new Failure("build-failed", `the Dockerfile cannot be built: ${error}`, {
      expected: "a Dockerfile with known instructions and existing base images",
    });
  }
  if (count > 0) {
    throw new Failure("build-failed", `the Dockerfile has ${plural(count, "warning")}`, {
      expected: "a Dockerfile without warnings",
      hint: "Fix the warnings, or disable a rule with `# check=skip=RULE` in the first lines of the Dockerfile.",
    });
  }
}
