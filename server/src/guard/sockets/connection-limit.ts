import type { Socket } from "node:net";
import { Refusal } from "../refusal.ts";

const REFUSAL = new Refusal(
  "quota.connections",
  "too many open connections of this tenant: close some, or ask the operator to raise --max-connections",
  { statusCode: 429, retryAfter: 1 },
);
/** The answer for HTTP/1 clients. An HTTP/2 client only sees that the connection is closed. */
const BODY = `${JSON.stringify({ message: REFUSAL.message })}\n`;
const TOO_MANY = [
  `HTTP/1.1 ${REFUSAL.statusCode} Too Many Requests`,
  "Content-Type: application/json",
  `Content-Length: ${BODY.length}`,
  `Retry-After: ${REFUSAL.retryAfter}`,
  "Connection: close",
  "",
  BODY,
].join("\r\n");

/**
 * Passes on as many simultaneous connections as a tenant may have. Others are answered and closed at once, so that they
 * use neither descriptors nor memory.
 *
 * @param most called for each connection
 * @param onRefused called for each connection beyond the limit
 */
export function limitConnections(
  most: () => number,
  onConnection: (connection: Socket) => void,
  onRefused: (refusal: Refusal) => void = () => {},
): { take: (connection: Socket) => void; destroyAll: () => void } {
  const open = new Set<Socket>();
  return {
    take(connection) {
      connection.on("error", () => connection.destroy());
      if (open.size >= most()) {
        onRefused(REFUSAL);
        connection.end(TOO_MANY);
        connection.destroySoon();
        return;
      }
      open.add(connection);
      connection.once("close", () => open.delete(connection));
      onConnection(connection);
    },
    destroyAll() {
      for (const connection of open) connection.destroy();
    },
  };
}
