import { Type } from "typebox";
import { Refusal } from "../refusal.ts";
import type { StrictQuery } from "../request/query.ts";

/** `{"reference":["app"]}` of old clients, `{"reference":{"app":true}}` of all others */
const FILTERS = Type.Record(
  Type.String(),
  Type.Union([Type.Array(Type.String()), Type.Record(Type.String(), Type.Literal(true))]),
);

/** Maximum values of one filter. Users type the values of a docker command by hand. */
const MAX_VALUES = 100;

/**
 * Parses `filters`. Refuses an unknown filter: if it were ignored, the client would get more results, or delete more,
 * than it expects.
 *
 * @throws Refusal 400 `filter.unknown`, `filter.count`, or as `strictJson`
 */
export function readFilters<Name extends string>(query: StrictQuery, known: readonly Name[]): Record<Name, string[]> {
  const given = query.json("filters", FILTERS) ?? {};
  const found = Object.fromEntries(known.map((name) => [name, [] as string[]])) as Record<Name, string[]>;
  for (const [name, values] of Object.entries(given)) {
    if (!isOneOf(known, name)) {
      throw new Refusal(
        "filter.unknown",
        `invalid filter ${JSON.stringify(name.slice(0, 64))}: this call supports ${known.join(", ")}`,
        { statusCode: 400 },
      );
    }
    const list = Array.isArray(values) ? values : Object.keys(values);
    if (list.length > MAX_VALUES) {
      throw new Refusal("filter.count", `the filter ${name} has more than ${MAX_VALUES} values`, { statusCode: 400 });
    }
    found[name] = list;
  }
  return found;
}

function isOneOf<Name extends string>(known: readonly Name[], name: string): name is Name {
  return known.some((one) => one === name);
}
