import { printable } from "./describe.ts";
import { readEventSchema, type Schema } from "./read-event-schema.ts";
import type { TransferEvent } from "./events.ts";

/** Reads events that another docker-over-ssh has printed with --json: hostile input. */
export class EventReader {
  readonly #schema = readEventSchema();

  /**
   * Returns the event in a line; undefined for a line that is not an event of this version. The event has only the fields of its type, its numbers
   * are not negative, and its texts neither control a terminal nor begin a new line.
   */
  read(line: string): TransferEvent | undefined {
    try {
      return this.#copy(this.#schema, JSON.parse(line)) as TransferEvent | undefined;
    } catch {
      return undefined; // not JSON
    }
  }

  /** Copies the part of a value that a schema describes; returns undefined, which JSON does not have, for a value that does not match. */
  #copy(schema: Schema, value: unknown): unknown {
    if (schema.$ref !== undefined) return this.#copy(this.#definition(schema.$ref), value);
    if (schema.anyOf !== undefined) {
      for (const alternative of schema.anyOf) {
        const copied = this.#copy(alternative, value);
        if (copied !== undefined) return copied;
      }
      return undefined;
    }
    if ("const" in schema) return value === schema.const ? value : undefined;
    if (schema.enum !== undefined) return schema.enum.includes(value) ? value : undefined;
    switch (schema.type) {
      case "string":
        return typeof value === "string" ? printable(value).replaceAll(/[\n\t]/g, " ") : undefined;
      case "number":
        return typeof value === "number" && value >= 0 && value <= Number.MAX_SAFE_INTEGER ? value : undefined;
      case "boolean":
        return typeof value === "boolean" ? value : undefined;
      case "array":
        return this.#copyList(schema.items ?? {}, value);
      case "object":
        return this.#copyFields(schema, value);
      case undefined:
        return undefined;
    }
  }

  #copyList(items: Schema, value: unknown): unknown[] | undefined {
    if (!Array.isArray(value)) return undefined;
    const copied = value.map((item) => this.#copy(items, item));
    return copied.includes(undefined) ? undefined : copied;
  }

  #copyFields({ properties = {}, required = [] }: Schema, value: unknown): object | undefined {
    if (typeof value !== "object" || value === null) return undefined;
    const copied: Record<string, unknown> = {};
    for (const [name, schema] of Object.entries(properties)) {
      if (!Object.hasOwn(value, name)) continue;
      const field = this.#copy(schema, (value as Record<string, unknown>)[name]);
      if (field === undefined) return undefined;
      copied[name] = field;
    }
    return required.every((name) => Object.hasOwn(copied, name)) ? copied : undefined;
  }

  #definition(reference: string): Schema {
    return this.#schema.definitions?.[reference.replace("#/definitions/", "")] ?? {};
  }
}
