import type { Duplex } from "node:stream";
import type { Failure } from "../output/errors.ts";
import type { Message } from "./control.ts";
import type { Hello } from "./handshake.ts";

/**
 * The messages and streams of one transfer. A tunnel for one image is itself a conversation; otherwise it carries numbered conversations,
 * one after the other (PROTOCOL.md, 4).
 */
export interface Conversation {
  readonly peer: Hello;
  /** Aborted if the conversation ends early. The reason is a Failure. */
  readonly signal: AbortSignal;
  /** Resolves when it has ended, early or not. */
  readonly closed: Promise<void>;
  /** Bytes sent through the tunnel in the time of this conversation. */
  readonly bytesSent: number;
  /** Bytes received through the tunnel in the time of this conversation. */
  readonly bytesReceived: number;
  /** Called each time bytes have moved on a stream. */
  onMoved: (() => void) | undefined;
  /**
   * Opens a stream to a service of the sender (receiver only). Throws if the conversation has ended. The caller owns the stream, which
   * fails when the conversation ends. Destroying it before its end resets it.
   */
  connect(service: string): Duplex;
  /** Accepts streams to a service (sender only). `accept` owns each stream. */
  listen(service: string, accept: (stream: Duplex) => void): void;
  /** Sends a message of the program above. Rejects if the conversation ends before the message can be sent. */
  send(message: Message): Promise<void>;
  /** Calls `listener` for each message of a type. Each type can have one listener, whose error ends the conversation. */
  on(type: string, listener: (message: Message) => void): void;
  /** Resolves to the next message of a type. Rejects if the conversation ends first. */
  next(type: string): Promise<Message>;
  /** The receiver's last step: sends the result, waits for its confirmation, and closes. Returns whether it was confirmed. */
  finish(result: Record<string, unknown>): Promise<boolean>;
  /** The sender's last step: waits for the result and confirms it. Rejects if the conversation ends without a result. */
  result(): Promise<Message>;
  /** Reports this side's failure to the peer, then closes. Returns whether the report was written in time. */
  fail(failure: Failure): Promise<boolean>;
}
