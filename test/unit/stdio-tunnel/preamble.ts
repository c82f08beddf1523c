/** Far ends made of bytes, and this end's half of the preamble. */
import { Failure } from "../../../src/output/errors.ts";
import {
  shakeHands,
  HandshakeError,
  type Greeting,
  type HandshakeOptions,
} from "../../../src/stdio-tunnel/handshake.ts";
import type { StdioTransport } from "../../../src/stdio-tunnel/transport.ts";
import { hello } from "../../fixtures/remote/open-end.ts";
import { duplexPair } from "./carriers.ts";

/** What a sender of this version says of itself. */
export const HELLO_LINE = `${JSON.stringify(hello("sender"))}\n`;

/** A far end that says these chunks, one by one, and stays open. */
export function peerBytes(...chunks: string[]): StdioTransport {
  const [near, remote] = duplexPair();
  void sayAll(remote, chunks);
  return near;
}

/** Hands over one chunk at a time, so that none of them is joined to the next. */
async function sayAll(remote: StdioTransport, chunks: string[]): Promise<void> {
  for (const chunk of chunks) {
    if (chunk !== "") await new Promise((resolve) => remote.write(chunk, resolve));
    await new Promise(setImmediate);
  }
}

/** This end, a receiver of protocol 1 and the initiator unless told otherwise. */
export function greet(stream: StdioTransport, options: Partial<HandshakeOptions> = {}): Promise<Greeting> {
  return shakeHands(stream, { origin: "initiator", hello: hello("receiver"), ...options });
}

/** What the preamble fails with. */
export async function refusal(greeting: Promise<Greeting>): Promise<HandshakeError> {
  const error = await greeting.then(
    () => new Error("the preamble succeeded"),
    (error: unknown) => error,
  );
  if (!(error instanceof HandshakeError) || !(error instanceof Failure)) throw error;
  return error;
}
