import { fromBinary } from "@bufbuild/protobuf";
import { Refusal } from "../refusal.ts";
import { DefinitionSchema, type Definition } from "./gen/ops_pb.ts";
import type { Ref, Result } from "./gen/gateway_pb.ts";

/**
 * Returns the steps of all parts of a result. A part without steps has no ID: it is empty, e.g. `FROM scratch` alone.
 *
 * @throws Refusal `llb.missing` for a part whose steps the builder does not tell
 */
export function definitionsOf(result: Result): Definition[] {
  return refsOf(result).flatMap(({ id, def }) => {
    const definition = fromBinary(DefinitionSchema, def);
    if (definition.def.length > 0) return [definition];
    if (id === "") return [];
    throw new Refusal(
      "llb.missing",
      "this engine's BuildKit does not tell the steps of a build, so they cannot be checked",
    );
  });
}

/** Returns the IDs of all parts that have one, also of results in the form of old clients. */
export function refIdsOf(result: Result): string[] {
  if (result.result.case === "refDeprecated") return [result.result.value].filter((id) => id !== "");
  if (result.result.case === "refsDeprecated") return Object.values(result.result.value.refs).filter((id) => id !== "");
  return refsOf(result).flatMap(({ id }) => (id === "" ? [] : [id]));
}

function refsOf({ result, attestations }: Result): Ref[] {
  const attested = Object.values(attestations).flatMap(({ attestation }) =>
    attestation.flatMap(({ ref }) => (ref === undefined ? [] : [ref])),
  );
  switch (result.case) {
    case undefined:
      return attested;
    case "ref":
      return [result.value, ...attested];
    case "refs":
      return [...Object.values(result.value.refs), ...attested];
    default:
      throw new Refusal("llb.missing", "this engine's BuildKit is too old: it does not tell the steps of a build");
  }
}

/** Whether a client returns what the builder has answered: the same parts. What else it says of them does not count. */
export function isSameResult(given: Result, known: Result): boolean {
  const [a, b] = [new Set(refIdsOf(given)), new Set(refIdsOf(known))];
  return a.size === b.size && [...a].every((id) => b.has(id));
}
