import { request, type Agent } from "node:http";
import { Readable, type Duplex } from "node:stream";
import { HOST, type HttpRequest, type Send } from "./requests.ts";

/** Requests in HTTP/1.1, on connections that the agent makes. */
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

/** Writes a body, and ends. What cannot be read on ends the request with that error. */
export function write(
  body: HttpRequest["body"],
  to: NodeJS.WritableStream & { destroy(error?: Error): unknown },
): void {
  if (body === undefined) return void to.end();
  if (!(body instanceof Readable)) return void to.end(body);
  if (body.errored) return void to.destroy(body.errored);
  body.once("error", (error) => to.destroy(error)).pipe(to);
}

/** The connection itself, when the server switches it to another protocol; undefined when it does not. The caller owns it. */
export async function switchProtocol(
  agent: Agent,
  path: string,
  protocol: string,
  signal: AbortSignal,
): Promise<Duplex | undefined> {
  const headers = { connection: "Upgrade", upgrade: protocol };
  return await new Promise((resolve, reject) => {
    request({ agent, host: HOST, path, method: "POST", headers, signal })
      .once("upgrade", (_, socket, head) => {
        // What came with the answer belongs to the other protocol.
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
