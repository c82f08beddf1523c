import type { DescField, DescMessage } from "@bufbuild/protobuf";
import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";
import { Code, ConnectError } from "@connectrpc/connect";

/** Fields of a tenant's message, including those of nested messages. buildx sends some hundreds; a message of 4 MB may have two million. */
const MAX_FIELDS = 10_000;
/** Depth of nested messages. The library's own limit reports a different error. */
const MAX_DEPTH = 50;

/**
 * Limits the fields of a message before it is parsed, because parsing creates an object for each and blocks all other tenants in the meantime.
 *
 * @throws ConnectError ResourceExhausted
 */
export function checkFields(schema: DescMessage, message: Uint8Array): void {
  try {
    count({ reader: new BinaryReader(message), left: MAX_FIELDS }, schema, message.length, MAX_DEPTH);
  } catch (error) {
    // The bytes are no message. The library fails at the same place and reports it.
    if (error instanceof ConnectError) throw error;
  }
}

interface Count {
  reader: BinaryReader;
  left: number;
}

function count(state: Count, schema: DescMessage, end: number, depth: number): void {
  if (depth === 0) {
    throw new ConnectError(`messages may be nested at most ${MAX_DEPTH} deep here`, Code.ResourceExhausted);
  }
  const { reader } = state;
  const inner = messagesOf(schema);
  while (reader.pos < end) {
    if (--state.left < 0) throw tooMany();
    const [number, type] = reader.tag();
    const found = type === WireType.LengthDelimited ? inner.get(number) : undefined;
    if (found === undefined) {
      reader.skip(type, number);
      continue;
    }
    const length = reader.uint32();
    if (found.isMap) countEntry(state, found.message, reader.pos + length, depth - 1);
    else count(state, found.message, reader.pos + length, depth - 1);
  }
}

/** Counts the fields of a map's entry, whose value has the number 2. */
function countEntry(state: Count, value: DescMessage, end: number, depth: number): void {
  const { reader } = state;
  while (reader.pos < end) {
    if (--state.left < 0) throw tooMany();
    const [number, type] = reader.tag();
    if (number === 2 && type === WireType.LengthDelimited) count(state, value, reader.uint32() + reader.pos, depth);
    else reader.skip(type, number);
  }
}

interface Inner {
  message: DescMessage;
  isMap: boolean;
}

const KNOWN = new WeakMap<DescMessage, ReadonlyMap<number, Inner>>();

/** Returns the fields of a message that are messages themselves, by their number. */
function messagesOf(schema: DescMessage): ReadonlyMap<number, Inner> {
  const known = KNOWN.get(schema);
  if (known !== undefined) return known;
  const found = new Map(
    schema.fields.flatMap((field): [number, Inner][] => {
      const message = messageIn(field);
      return message === undefined ? [] : [[field.number, { message, isMap: field.fieldKind === "map" }]];
    }),
  );
  KNOWN.set(schema, found);
  return found;
}

function messageIn(field: DescField): DescMessage | undefined {
  return field.fieldKind === "message" || field.fieldKind === "list" || field.fieldKind === "map"
    ? field.message
    : undefined;
}

function tooMany(): ConnectError {
  return new ConnectError(`a message may have at most ${MAX_FIELDS} fields here`, Code.ResourceExhausted);
}
