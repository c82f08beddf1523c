import type { Duplex } from "node:stream";
import { Failure } from "../output/errors.ts";
import { abortable } from "../streams/abortable.ts";
import { HANDSHAKE_TIMEOUT, KEPT_NOISE, MAGIC_LINE, MAX_HELLO, MAX_NOISE, PROTOCOL_VERSION } from "./constants.ts";

export type Role = "sender" | "receiver";

/** The first message of each side (PROTOCOL.md, 1). */
export interface Hello {
  protocol: number;
  tool: string;
  role: Role;
  features: string[];
  image?: string;
}

/** The part of a hello that shows which messages the peer knows. */
export type PeerVersion = Readonly<Pick<Hello, "features" | "tool">>;

export interface HandshakeOptions {
  /** The initiator waits for the magic line before it writes. */
  origin: "initiator" | "spawned";
  hello: Hello;
  /** The initiator writes nothing before this has resolved. */
  ready?: Promise<unknown> | undefined;
  /** ms for the peer's hello to arrive. */
  timeout?: number | undefined;
  signal?: AbortSignal | undefined;
}

export interface Greeting {
  peer: Hello;
  /** The end of the text before the magic line. */
  noise: string;
}

/** Thrown when the preamble fails. */
export class HandshakeError extends Failure {
  /** The end of the text that the remote side printed instead. */
  readonly noise: string;
  /** True if the stream ended, so that the exit of its process may explain the failure. */
  readonly ended: boolean;

  constructor(failure: Failure, noise: string, ended = false) {
    super(failure.code, failure.message, { ...textOf(failure), cause: failure.cause });
    this.noise = noise;
    this.ended = ended;
  }
}

function textOf({ expected, hint }: Failure): { expected?: string; hint?: string } {
  return { ...(expected === undefined ? {} : { expected }), ...(hint === undefined ? {} : { hint }) };
}

/**
 * Exchanges hellos over `stream`, which stays open and paused, and still contains the bytes after the peer's hello. Rejects with a
 * {@link HandshakeError}, or with the signal's reason. On rejection, the caller destroys the stream.
 */
export async function shakeHands(stream: Duplex, options: HandshakeOptions): Promise<Greeting> {
  const { origin, hello, timeout = HANDSHAKE_TIMEOUT } = options;
  const { ready = Promise.resolve(), signal = new AbortController().signal } = options;
  const mine = `${MAGIC_LINE}${JSON.stringify(hello)}\n`;
  const preamble = new PreambleReader(stream);
  if (origin === "spawned") stream.write(mine);
  try {
    const line = await preamble.hello(timeout, signal);
    if (origin === "initiator") {
      await abortable(ready, signal);
      stream.write(mine);
    }
    const peer = parseHello(line);
    checkHello(hello, peer);
    return { peer, noise: preamble.noise };
  } catch (error) {
    if (signal.aborted || !(error instanceof Failure) || error instanceof HandshakeError) throw error;
    throw new HandshakeError(error, preamble.noise);
  }
}

/** Reads up to and including the peer's hello, and returns the bytes after it to the stream. */
class PreambleReader {
  readonly #stream: Duplex;
  /** Unprocessed bytes: noise before the magic line, the hello after it. */
  #pending: Buffer = Buffer.alloc(0);
  #noiseTail: Buffer = Buffer.alloc(0);
  #noiseBytes = 0;
  #inHello = false;

  constructor(stream: Duplex) {
    this.#stream = stream;
  }

  get noise(): string {
    const tail = this.#inHello
      ? this.#noiseTail
      : Buffer.concat([this.#noiseTail, this.#pending]).subarray(-KEPT_NOISE);
    return tail.toString("utf8");
  }

  hello(timeout: number, signal: AbortSignal | undefined): Promise<string> {
    const stream = this.#stream;
    return new Promise<string>((resolve, reject) => {
      const settle = (act: () => void): void => {
        clearTimeout(timer);
        stream.off("readable", onReadable).off("end", onEnd).off("close", onEnd).off("error", onError);
        signal?.removeEventListener("abort", onAbort);
        act();
      };
      const onReadable = (): void => {
        try {
          for (let chunk: Buffer | null; (chunk = stream.read() as Buffer | null) !== null;) {
            const found = this.#take(chunk);
            if (found === undefined) continue;
            settle(() => {
              if (found.rest.length > 0) stream.unshift(found.rest);
              resolve(found.line);
            });
            return;
          }
        } catch (error) {
          settle(() => reject(error));
        }
      };
      const onEnd = (): void => settle(() => reject(this.#ended()));
      const onError = (cause: Error): void => settle(() => reject(this.#ended(cause)));
      const onAbort = (): void => settle(() => reject(signal?.reason as Error));
      const timer = setTimeout(() => settle(() => reject(this.#late(timeout))), timeout);
      if (signal?.aborted) return onAbort();
      if (stream.destroyed || stream.readableEnded) return onEnd();
      stream.on("readable", onReadable).once("end", onEnd).once("close", onEnd).once("error", onError);
      signal?.addEventListener("abort", onAbort);
      onReadable();
    });
  }

  #take(chunk: Buffer): { line: string; rest: Buffer } | undefined {
    this.#pending = this.#pending.length === 0 ? chunk : Buffer.concat([this.#pending, chunk]);
    if (!this.#inHello && !this.#skipNoise()) return undefined;
    const end = this.#pending.indexOf(0x0a);
    if ((end === -1 ? this.#pending.length : end) > MAX_HELLO) throw notATunnel("its hello is longer than 64 kB");
    if (end === -1) return undefined;
    return { line: this.#pending.toString("utf8", 0, end), rest: this.#pending.subarray(end + 1) };
  }

  /** Returns whether the magic line has been read. Drops all bytes in which no magic line can start. */
  #skipNoise(): boolean {
    const at = this.#pending.indexOf(MAGIC_LINE);
    const noiseEnd = at === -1 ? Math.max(0, this.#pending.length - MAGIC_LINE.length + 1) : at;
    this.#noiseBytes += noiseEnd;
    this.#noiseTail = Buffer.concat([this.#noiseTail, this.#pending.subarray(0, noiseEnd)]).subarray(-KEPT_NOISE);
    this.#pending = this.#pending.subarray(at === -1 ? noiseEnd : at + MAGIC_LINE.length);
    this.#inHello = at !== -1;
    if (this.#noiseBytes > MAX_NOISE) throw notATunnel("it printed more than 1 MB of other text");
    return this.#inHello;
  }

  #ended(cause?: Error): HandshakeError {
    const failure = new Failure("remote-not-a-tunnel", "the remote side closed its output before its hello", {
      expected: EXPECTED,
      hint: HINT,
      cause,
    });
    return new HandshakeError(failure, this.noise, true);
  }

  #late(timeout: number): Failure {
    return new Failure("remote-no-answer", `the remote side did not answer within ${timeout / 1000} s`, {
      expected: EXPECTED,
      hint: "Run the command by itself to see what it waits for. For a slow start, raise --timeout SECONDS.",
    });
  }
}

const EXPECTED = "a command that runs `docker-over-ssh pull IMAGE` (or `push IMAGE`, or `build`) on the remote side";
const HINT =
  "Run the command by itself: it must start docker-over-ssh and must not use its stdin and stdout (no pty, no `< /dev/null`).";

function notATunnel(why: string): Failure {
  return new Failure("remote-not-a-tunnel", `the remote side is not docker-over-ssh: ${why}`, {
    expected: EXPECTED,
    hint: HINT,
  });
}

/** Parses hostile input: returns only known fields of the right type. */
function parseHello(line: string): Hello {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    throw notATunnel("its hello is not JSON");
  }
  const { protocol, tool, role, features, image } = (value ?? {}) as Record<string, unknown>;
  if (typeof protocol !== "number" || typeof tool !== "string") throw notATunnel("its hello lacks a version");
  const knownRole = role === "sender" || role === "receiver";
  // Another protocol may have other roles. checkHello reports it.
  if (protocol === PROTOCOL_VERSION && !knownRole) throw notATunnel("its hello names no role");
  return {
    protocol,
    tool: /^[\w.+-]{1,64}$/.test(tool) ? tool : "of an unknown version",
    role: knownRole ? role : "receiver",
    features: Array.isArray(features) ? features.filter((feature) => typeof feature === "string") : [],
    ...(typeof image === "string" ? { image } : {}),
  };
}

function checkHello(mine: Hello, peer: Hello): void {
  if (peer.protocol !== PROTOCOL_VERSION) {
    throw new Failure(
      "remote-other-protocol",
      `the remote side is docker-over-ssh ${peer.tool}, which speaks protocol ${peer.protocol}`,
      {
        expected: `protocol ${PROTOCOL_VERSION}, as this docker-over-ssh ${mine.tool} speaks`,
        hint: "Install the same version on both sides.",
      },
    );
  }
  if (peer.role === mine.role) {
    const command = mine.role === "sender" ? "push" : "pull";
    throw new Failure("usage", `both sides run \`docker-over-ssh ${command}\``, {
      expected: "one side to push and the other to pull",
      hint: `Let the remote command be \`docker-over-ssh ${command === "push" ? "pull" : "push"} IMAGE\`.`,
    });
  }
}
