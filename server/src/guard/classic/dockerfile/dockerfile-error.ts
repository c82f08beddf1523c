import { Refusal } from "../../refusal.ts";

/** A Dockerfile that the classic builder would not accept either, or that is ambiguous. */
export function dockerfileError(line: number, message: string): Refusal {
  return new Refusal("dockerfile.invalid", `dockerfile parse error on line ${line}: ${message}`, { statusCode: 400 });
}

/** An instruction that the classic builder accepts, and a tenant may not use. */
export function dockerfileRefusal(rule: string, line: number, message: string): Refusal {
  return new Refusal(rule, `Dockerfile, line ${line}: ${message}`);
}
