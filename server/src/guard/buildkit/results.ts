import { fromBinary } from "@bufbuild/protobuf";
import { Refusal } from "../refusal.ts";
import { makesImage } from "./exporters.ts";
import { DefinitionSchema, type Definition } from "./gen/ops_pb.ts";
import type { SolvePlan } from "./solve-plan.ts";
import type { Ref, Result } from "./gen/gateway_pb.ts";

/** The key of an image's config. For several platforms, a slash and the platform follow (moby/buildkit, exporter/containerimage/exptypes). */
const IMAGE_CONFIG = "containerimage.config";

/**
 * Returns the steps of all parts of a result. A part without steps and without an ID is empty, e.g. `FROM scratch` alone.
 *
 * @throws Refusal `llb.missing` for a part whose steps the builder does not report
 */
export function definitionsOf(result: Result): Definition[] {
  return refsOf(result).flatMap(({ id, def }) => {
    const definition = fromBinary(DefinitionSchema, def);
    if (definition.def.length > 0) return [definition];
    if (id === "") return [];
    throw new Refusal(
      "llb.missing",
      "this engine's BuildKit does not report the steps of a build, so they cannot be checked",
    );
  });
}

/** Returns the IDs of all parts that have one. Also reads results in the deprecated format. */
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
      throw new Refusal("llb.missing", "this engine's BuildKit is too old: it does not report the steps of a build");
  }
}

/** Returns whether a client returns the parts that the builder has created. Ignores everything else in the result. */
export function isSameResult(given: Result, known: Result): boolean {
  const [a, b] = [new Set(refIdsOf(given)), new Set(refIdsOf(known))];
  return a.size === b.size && [...a].every((id) => b.has(id));
}

/**
 * Refuses to create an image from a result without a config, because only the frontend's config has the tenant's label. An exporter also creates an image
 * from an empty result: it would belong to no tenant, count for none, and never be removed.
 *
 * @throws Refusal `result.empty`
 */
export function refuseNoImage({ exporters }: Pick<SolvePlan, "exporters">, { metadata }: Result): void {
  if (!exporters.some(makesImage)) return;
  if (Object.keys(metadata).some((key) => key.split("/", 1)[0] === IMAGE_CONFIG)) return;
  throw new Refusal("result.empty", "an image can only be made of what a Dockerfile has made: omit the output");
}
