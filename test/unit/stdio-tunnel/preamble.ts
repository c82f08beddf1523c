/** Peers that send given bytes, and this side's half of the preamble. */
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

/** The hello of a sender of this version. */
export const HELLO_LINE = `${JSON.stringify(hello("sender"))}\n`;

/** A peer that sends these chunks one by one and stays open. */
export function peerBytes(...chunks: string[]): StdioTransport {
  const [near, remote] = duplexPair();
  void sayAll(remote, chunks);
  return near;
}

/** Emits one chunk at a time, so that chunks are not joined. */
async function sayAll(remote: StdioTransport, chunks: string[]): Promise<void> {
  for (const chunk of chunks) {
    if (chunk !== "") await new Promise((resolve) => remote.write(chunk, resolve));
    await new Promise(setImmediate);
  }
}

/** Runs this side's handshake: by default a receiver of protocol 1 and the initiator. */
export function greet(stream: StdioTransport, options: Partial<HandshakeOptions> = {}): Promise<Greeting> {
  return shakeHands(stream, { origin: "initiator", hello: hello("receiver"), ...options });
}

/** Returns the error of the preamble. */
export async function refusal(greeting: Promise<Greeting>): Promise<HandshakeError> {
  const error = await greeting.then(
    () => new Error("the preamble succeeded"),
    (error: unknown) => error,
  );
  if (!(error instanceof HandshakeError) || !(error instanceof Failure)) throw error;
  return error;
}
