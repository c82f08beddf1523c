import { reflect, type ReflectMessage } from "@bufbuild/protobuf/reflect";
import type { DescMessage, Message } from "@bufbuild/protobuf";
import { Refusal } from "../refusal.ts";

/**
 * Refuses a message with fields that no check covers, at any depth, because a future builder may give them a meaning.
 *
 * @throws Refusal `grpc.unknown-field`
 */
export function refuseUnknownFields(schema: DescMessage, message: Message): void {
  const found = unknownField(reflect(schema, message));
  if (found === undefined) return;
  throw new Refusal(
    "grpc.unknown-field",
    `the field ${found.number} of ${found.type} is not known to docker-over-ssh guard, which refuses what it cannot check`,
  );
}

interface UnknownField {
  type: string;
  number: number;
}

function unknownField(message: ReflectMessage): UnknownField | undefined {
  const [unknown] = message.getUnknown() ?? [];
  if (unknown !== undefined) return { type: message.desc.typeName, number: unknown.no };
  for (const field of message.fields) {
    if (!message.isSet(field)) continue;
    for (const inner of messagesIn(message, field)) {
      const found = unknownField(inner);
      if (found !== undefined) return found;
    }
  }
  return undefined;
}

function messagesIn(message: ReflectMessage, field: ReflectMessage["fields"][number]): Iterable<ReflectMessage> {
  if (field.fieldKind === "message") return [message.get(field)];
  if (field.fieldKind === "list" && field.listKind === "message") return message.get(field) as Iterable<ReflectMessage>;
  if (field.fieldKind === "map" && field.mapKind === "message")
    return [...message.get(field).values()] as ReflectMessage[];
  return [];
}
