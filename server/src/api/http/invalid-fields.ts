import type { FastifySchemaValidationError } from "fastify";

/** A rejected field, with the reason. */
export interface InvalidField {
  /** Nested names are separated by dots: `credentials.username`. Empty: the whole body. */
  field: string;
  message: string;
}

/** Maximum number of fields in the response: more help nobody, and a hostile body could have thousands. */
export const MAX_FIELDS = 20;

/** Converts the validator's errors to messages, one for each field. Unknown fields are listed by name. */
export function invalidFields(found: readonly FastifySchemaValidationError[]): readonly InvalidField[] {
  const fields = new Map<string, InvalidField>();
  for (const error of found) {
    const invalid = inWords(error);
    const key = `${invalid.field}\n${invalid.message}`;
    if (invalid.message !== "" && !fields.has(key)) fields.set(key, invalid);
    if (fields.size >= MAX_FIELDS) break;
  }
  return [...fields.values()];
}

function inWords({
  instancePath,
  keyword,
  params,
  message = "is not valid",
}: FastifySchemaValidationError): InvalidField {
  const parent = instancePath
    .split("/")
    .slice(1)
    .map((part) => part.replaceAll("~1", "/").replaceAll("~0", "~"));
  const at = (name: unknown): string => short([...parent, String(name)].join("."));
  if (keyword === "additionalProperties") {
    return { field: at(params["additionalProperty"]), message: "is not a field of this request" };
  }
  if (keyword === "required") return { field: at(params["missingProperty"]), message: "is required" };
  const field = short(parent.join("."));
  if (keyword === "enum") return { field, message: `must be one of ${list(params["allowedValues"])}` };
  if (keyword === "type") return { field, message: `must be ${String(params["type"]).replaceAll(",", " or ")}` };
  // These errors only report that an alternative or a name did not match; another error gives the details.
  if (keyword === "anyOf" || keyword === "propertyNames") return { field, message: "is not valid" };
  return { field, message };
}

function list(values: unknown): string {
  return Array.isArray(values) ? values.map((value) => JSON.stringify(value)).join(", ") : "the known values";
}

function short(name: string): string {
  return name.length > 200 ? `${name.slice(0, 200)}…` : name;
}
