/** Maximum characters. Each can take nine bytes in the header, whose size clients and Node limit. */
const MAX_LENGTH = 8 * 1024;

/**
 * Prepares a sentence for the header `grpc-message`: limits its length, and removes lone surrogates, which cannot be
 * encoded.
 */
export function grpcSentence(text: string): string {
  const cut = text.length > MAX_LENGTH ? `${text.slice(0, MAX_LENGTH)}…` : text;
  return cut.replaceAll(/\p{Surrogate}/gu, "\ufffd");
}
