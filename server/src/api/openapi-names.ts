/** The parts of an OpenAPI document that contain schemas */
interface WithSchemas {
  paths?: unknown;
  components?: object | undefined;
}

/** Moves each schema with a `title` to the document's components, and replaces it by references. */
export function hoistNamedSchemas<Document extends WithSchemas>(document: Document): Document {
  const schemas: Record<string, unknown> = {};
  const hoist = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(hoist);
    if (typeof value !== "object" || value === null) return value;
    const moved = Object.fromEntries(Object.entries(value).map(([name, part]) => [name, hoist(part)]));
    const { title } = moved;
    if (typeof title !== "string") return moved;
    schemas[title] = moved;
    return { $ref: `#/components/schemas/${title}` };
  };
  const paths = hoist(document.paths);
  return { ...document, paths, components: { ...document.components, schemas } };
}
