import type { ClientOption, ForcedOrder } from "../../factory/forced/forced-command.ts";
import { Failure } from "../../output/errors.ts";
import { InvalidValue, type OptionDefinition } from "./command-definition.ts";

/** Returns the options in the form that the grammar of a forced command needs. */
export function clientOptions(definitions: readonly OptionDefinition[]): ClientOption[] {
  return definitions.map(({ flags }) => {
    const [, short, name = "", value] = /^(?:-(\w), )?--([\w-]+)(?: <([^>]+)>)?$/.exec(flags) ?? [];
    return { name, short, takesValue: value !== undefined };
  });
}

/** Returns the values of a client's options, under the names that the parser of the command line gives to them. Throws a Failure `refused`. */
export function valuesOf(
  order: Pick<ForcedOrder, "options">,
  definitions: readonly OptionDefinition[],
): Record<string, unknown> {
  const values: Record<string, unknown> = {};
  for (const { name, value } of order.options) {
    const definition = definitions.find(({ flags }) => new RegExp(`--${name}(?: |$)`).test(flags));
    const isNegated = name.startsWith("no-");
    const key = name.replace(/^no-/, "").replaceAll(/-(\w)/g, (_, letter: string) => letter.toUpperCase());
    const parsed = value === undefined ? !isNegated : parse(name, value, definition);
    values[key] = definition?.repeats ? [...((values[key] as unknown[] | undefined) ?? []), parsed] : parsed;
  }
  return values;
}

function parse(name: string, value: string, definition: OptionDefinition | undefined): unknown {
  try {
    return definition?.parse === undefined ? value : definition.parse(value);
  } catch (error) {
    if (!(error instanceof InvalidValue)) throw error;
    throw new Failure("refused", `the value of --${name} is not valid`, { expected: error.expected });
  }
}
