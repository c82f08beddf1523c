import { Refusal } from "../../refusal.ts";

/** A Dockerfile that the classic builder would not take either, or that cannot be read with one meaning. */
export function dockerfileError(line: number, message: string): Refusal {
  return new Refusal("dockerfile.invalid", `dockerfile parse error on line ${line}: ${message}`, { statusCode: 400 });
}

/** What the classic builder would do, and a tenant may not. */
export function dockerfileRefusal(rule: string, line: number, message: string): Refusal {
  return new Refusal(rule, `Dockerfile, line ${line}: ${message}`);
}
