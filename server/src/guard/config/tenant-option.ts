import { Failure, InvalidValue } from "docker-over-ssh/builds";
import type { ListedTenant } from "../settings.ts";
import { checkName, checkSocketOf } from "./check-tenants.ts";
import { readTerms } from "./read-terms.ts";
import { keyOf, overridesOf, TERMS } from "./terms.ts";

const OWN = ["name", "socket", "label"];

/**
 * Parses --tenant: fields separated by commas, in the format of docker's --mount (CSV: a field with a comma is quoted).
 * Repeatable options may be repeated within it as well; an option without a value, e.g. `share-cache`, is true.
 *
 * @throws InvalidValue
 */
export function parseListedTenant(text: string): ListedTenant {
  try {
    return tenantOf(collect(fieldsOf(text)));
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    throw new InvalidValue(`${error.message}. Expected ${error.expected}.`);
  }
}

function tenantOf(fields: ReadonlyMap<string, readonly string[]>): ListedTenant {
  const id = checkName(one(fields, "name"), "--tenant");
  const where = `--tenant ${id}`;
  const values = Object.fromEntries(
    TERMS.filter((term) => fields.has(optionOf(term))).map((term) => [keyOf(term), valueOf(term, fields)]),
  );
  const optionNames = new Map(TERMS.map((term) => [keyOf(term), optionOf(term)]));
  return {
    id,
    socket: checkSocketOf(one(fields, "socket"), where),
    ...(fields.has("label") && { labels: Object.fromEntries((fields.get("label") ?? []).map(labelOf)) }),
    ...overridesOf(readTerms(values, where, (key) => optionNames.get(key) ?? key)),
  };
}

function valueOf(term: (typeof TERMS)[number], fields: ReadonlyMap<string, readonly string[]>): unknown {
  const name = optionOf(term);
  if (term.repeats) return fields.get(name);
  const value = one(fields, name) ?? "";
  if (term.flags.includes("<")) return value;
  if (value === "" || value === "true") return true;
  if (value === "false") return false;
  throw new InvalidValue(`Expected true or false for ${name}.`);
}

/** Returns `allow-base` for `--allow-base <pattern>` */
function optionOf({ flags }: { flags: string }): string {
  return /--([a-z-]+)/.exec(flags)?.[1] ?? "";
}

function one(fields: ReadonlyMap<string, readonly string[]>, name: string): string | undefined {
  const values = fields.get(name) ?? [];
  if (values.length > 1) throw new InvalidValue(`Expected ${name} once.`);
  return values[0];
}

function labelOf(text: string): [string, string] {
  const [, key, value = ""] = /^([^=]+)=(.*)$/s.exec(text) ?? [];
  if (key === undefined) throw new InvalidValue("Expected label=KEY=VALUE.");
  return [key, value];
}

function collect(fields: readonly string[]): Map<string, string[]> {
  const known = [...OWN, ...TERMS.map(optionOf)];
  const found = new Map<string, string[]>();
  for (const field of fields) {
    const [name = "", ...value] = field.split("=");
    if (!known.includes(name))
      throw new InvalidValue(`${JSON.stringify(name)} is unknown. Expected ${known.join(", ")}.`);
    found.set(name, [...(found.get(name) ?? []), value.join("=")]);
  }
  return found;
}

/** Parses one record of RFC 4180 */
function fieldsOf(text: string): string[] {
  if (!/^(?:"(?:[^"]|"")*"|[^",]*)(?:,(?:"(?:[^"]|"")*"|[^",]*))*$/s.test(text)) {
    throw new InvalidValue(
      'Expected fields separated by commas, e.g. name=ci,socket=/run/guard/ci.sock,"label=a=b,c".',
    );
  }
  return [...text.matchAll(/(?:^|,)(?:"((?:[^"]|"")*)"|([^",]*))/gs)].map(
    ([, quoted, plain = ""]) => quoted?.replaceAll('""', '"') ?? plain,
  );
}
