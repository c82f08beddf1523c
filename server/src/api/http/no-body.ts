import { ProblemError } from "./problem.ts";

export function noBody(): ProblemError {
  return new ProblemError(400, "malformed", "The body is empty.");
}
