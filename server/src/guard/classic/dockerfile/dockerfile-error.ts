import { Refusal } from "../../refusal.ts";

/** Returns a Refusal for a Dockerfile that the classic builder would also reject, or that is ambiguous. */
export function dockerfileError(line: number, message: string): Refusal {
  return new Refusal("dockerfile.invalid", `dockerfile parse error on line ${line}: ${message}`, { statusCode: 400 });
}

/** Returns a Refusal for an instruction that the classic builder accepts, but that a tenant may not use. */
export function dockerfileRefusal(rule: string, line: number, message: string): Refusal {
  return new Refusal(rule, `Dockerfile, line ${line}: ${message}`);
}
