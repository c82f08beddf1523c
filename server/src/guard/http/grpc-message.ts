/** Characters. Each can take nine bytes in the header, of which clients and Node take only so many. */
const MAX_LENGTH = 8 * 1024;

/** Returns a sentence as it can stand in the header `grpc-message`: not too long, and without halves of characters, which cannot be written there. */
export function grpcSentence(text: string): string {
  const cut = text.length > MAX_LENGTH ? `${text.slice(0, MAX_LENGTH)}…` : text;
  return cut.replaceAll(/\p{Surrogate}/gu, "\ufffd");
}
