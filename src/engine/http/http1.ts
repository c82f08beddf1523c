import { request, type Agent } from "node:http";
import { Readable, type Duplex } from "node:stream";
import { HOST, type HttpRequest, type Send } from "./requests.ts";

/** Returns a function that sends HTTP/1.1 requests on the agent's connections. */
export function overHttp1(agent: Agent): Send {
  return async ({ method, path, headers, body, signal, onConnected }) => {
    const outgoing = request({ agent, host: HOST, method, path, headers, signal });
    return await new Promise((resolve, reject) => {
      outgoing.on("error", reject);
      if (onConnected !== undefined) outgoing.once("socket", onConnected);
      outgoing.once("response", (response) => {
        const { socket, statusCode = 0 } = response;
        const brokenBy = (): Error | undefined => socket.errored ?? undefined;
        const isWhole = (): boolean => response.complete;
        resolve({ status: statusCode, headers: response.headers, body: response, isWhole, brokenBy });
      });
      write(body, outgoing);
    });
  };
}

/** Writes a body and ends the request. If the body fails, destroys the request with its error. */
export function write(
  body: HttpRequest["body"],
  to: NodeJS.WritableStream & { destroy(error?: Error): unknown },
): void {
  if (body === undefined) return void to.end();
  if (!(body instanceof Readable)) return void to.end(body);
  if (body.errored) return void to.destroy(body.errored);
  body.once("error", (error) => to.destroy(error)).pipe(to);
}

/**
 * Requests that the server switch a connection to another protocol. Returns the connection, which the caller owns; undefined if the server
 * refuses.
 *
 * @param more further headers. For a list of values, a header is sent for each value
 */
export async function switchProtocol(
  agent: Agent,
  path: string,
  protocol: string,
  signal: AbortSignal,
  more: Readonly<Record<string, string | string[]>> = {},
): Promise<Duplex | undefined> {
  const headers = { ...more, connection: "Upgrade", upgrade: protocol };
  return await new Promise((resolve, reject) => {
    request({ agent, host: HOST, path, method: "POST", headers, signal })
      .once("upgrade", (_, socket, head) => {
        // These bytes after the answer belong to the other protocol.
        if (head.length > 0) socket.unshift(head);
        resolve(socket);
      })
      .once("response", (answer) => {
        answer.destroy();
        resolve(undefined);
      })
      .on("error", reject)
      .end();
  });
}
