/** The parts of the OpenAPI document from which the reference is created. */
export interface ApiDocument {
  tags: { name: string; description: string }[];
  paths: Record<string, Record<string, Operation>>;
  components: { schemas: Record<string, Schema> };
}

export interface Operation {
  summary: string;
  description?: string;
  tags: string[];
  parameters?: { name: string; in: string; required?: boolean; description?: string; schema: Schema }[];
  requestBody?: { content: Record<string, { schema?: Schema }> };
  responses: Record<string, { description: string; content?: Record<string, { schema?: Schema }> }>;
}

export interface Schema {
  $ref?: string;
  type?: string | string[];
  title?: string;
  description?: string;
  enum?: (string | number | boolean)[];
  const?: string | number | boolean;
  anyOf?: Schema[];
  items?: Schema;
  properties?: Record<string, Schema>;
  required?: string[];
  additionalProperties?: Schema | boolean;
}

/** Returns a short description of a type. Names of schemas are links. */
export function typeOf(schema: Schema): string {
  const { $ref, type, enum: values, const: value, anyOf, items, properties, additionalProperties } = schema;
  if ($ref !== undefined) {
    const name = $ref.split("/").at(-1) ?? "";
    return `[${name}](#${name.toLowerCase()})`;
  }
  if (values !== undefined) return values.map((one) => `\`${String(one)}\``).join(", ");
  if (value !== undefined) return `\`${String(value)}\``;
  if (anyOf !== undefined) return anyOf.map(typeOf).join(" or ");
  if (items !== undefined) return `list of ${typeOf(items)}`;
  if (typeof additionalProperties === "object") return `object of ${typeOf(additionalProperties)}`;
  if (properties !== undefined)
    return `object: ${Object.keys(properties)
      .map((name) => `\`${name}\``)
      .join(", ")}`;
  return [type ?? "anything"].flat().join(" or ");
}

/** Returns a row for each field, including the fields of nested objects: `engine.disk.images`. */
export function fieldRows({ properties = {}, required = [] }: Schema, prefix = ""): string[] {
  return Object.entries(properties).flatMap(([name, schema]) => {
    const { properties: inner, items } = schema;
    const below = inner !== undefined ? schema : items?.properties === undefined ? undefined : items;
    const list = items !== undefined && below !== undefined ? "[]" : "";
    const type = below === undefined ? typeOf(schema) : list === "" ? "object" : "list of objects";
    const need = required.includes(name) ? "" : ", optional";
    const row = tableRow(`\`${prefix}${name}\``, `${type}${need}`, schema.description ?? "");
    return [row, ...(below === undefined ? [] : fieldRows(below, `${prefix}${name}${list}.`))];
  });
}

export function tableRow(...cells: readonly string[]): string {
  return `| ${cells.map((cell) => cell.replaceAll("|", "\\|").replaceAll("\n", " ")).join(" | ")} |`;
}
