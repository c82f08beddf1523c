import { dirname, resolve } from "node:path";
import { Type } from "typebox";
import { readOperatorFile } from "../../access/operator-file.ts";
import { Refusal } from "../refusal.ts";
import { strictJson } from "../request/strict-json.ts";
import type { ListedTenant } from "../settings.ts";
import { checkDifferent, checkName, checkSocketOf } from "./check-tenants.ts";
import type { GuardConfig, TenantConfig } from "./guard-config.ts";
import { readTerms, TERM_KEYS, wrong } from "./read-terms.ts";
import { overridesOf, type Terms } from "./terms.ts";

const OPTION = "--config";
const FILE_KEYS: readonly (keyof GuardConfig)[] = ["$schema", "defaults", "tenants"];
const TENANT_KEYS: readonly (keyof TenantConfig)[] = ["name", "socket", "labels"];

/** Reads --config. Throws a Failure `usage`, which names the invalid key. */
export async function readGuardConfig(path: string): Promise<ListedTenant[]> {
  const { text } = await readOperatorFile(path, OPTION);
  return parseGuardConfig(text, path);
}

/**
 * Parses the text of a configuration ({@link GuardConfig}). Rejects unknown and repeated keys, because they may be
 * limits that would have no effect. `defaults` applies to each tenant that does not override it.
 *
 * @param path for messages; relative paths are resolved against its folder
 */
export function parseGuardConfig(text: string, path: string): ListedTenant[] {
  const { defaults = {}, tenants = [] } = objectOf(readJson(text, path), FILE_KEYS, path);
  const inherited = termsOf(objectOf(defaults, TERM_KEYS, `${path}: defaults`), `${path}: defaults`, path);
  if (!Array.isArray(tenants)) throw wrong(`${path}: tenants is not a list`, "a list of tenants, in brackets");
  const found = tenants.map((entry: unknown, index) =>
    tenantOf(entry, inherited, `${path}: tenant ${index + 1}`, path),
  );
  checkDifferent(found, path);
  return found;
}

function tenantOf(entry: unknown, inherited: Terms, place: string, path: string): ListedTenant {
  const values = objectOf(entry, [...TENANT_KEYS, ...TERM_KEYS], place);
  const id = checkName(values["name"], place);
  const where = `${path}: tenant "${id}"`;
  return {
    id,
    socket: checkSocketOf(values["socket"], where),
    ...(values["labels"] !== undefined && { labels: labelsOf(values["labels"], where) }),
    ...overridesOf({ ...inherited, ...termsOf(values, where, path) }),
  };
}

function termsOf(values: Readonly<Record<string, unknown>>, where: string, path: string): Terms {
  const terms = readTerms(values, where);
  const { registryConfig } = terms;
  return registryConfig === undefined
    ? terms
    : { ...terms, registryConfig: resolve(dirname(resolve(path)), registryConfig) };
}

function readJson(text: string, path: string): unknown {
  try {
    return strictJson(text, Type.Unknown(), path);
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    throw wrong(error.message, 'an object: {"tenants": [{"name": …, "socket": …}]}', error);
  }
}

function labelsOf(value: unknown, where: string): Record<string, string> {
  const labels = objectOf(value, undefined, `${where}: labels`);
  for (const [key, text] of Object.entries(labels)) {
    if (key === "" || typeof text !== "string") {
      throw wrong(`${where}: the label ${JSON.stringify(key)} is not a text`, "a text for each key");
    }
  }
  return labels as Record<string, string>;
}

function objectOf(value: unknown, known: readonly string[] | undefined, where: string): Record<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw wrong(`${where} is not an object`, known === undefined ? "an object" : `an object with ${known.join(", ")}`);
  }
  const unknown = Object.keys(value).filter((key) => known !== undefined && !known.includes(key));
  if (unknown.length === 0) return value as Record<string, unknown>;
  throw wrong(
    `${where} has unknown keys: ${unknown.map((key) => JSON.stringify(key)).join(", ")}`,
    (known ?? []).join(", "),
  );
}
