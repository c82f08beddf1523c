import { Duplex } from "node:stream";

/** Types of messages of the agent protocol (draft-ietf-sshm-ssh-agent, 3). */
const REQUEST_IDENTITIES = 11;
const SIGN_REQUEST = 13;
const EXTENSION = 27;
/** Bytes of a message that OpenSSH's agent accepts. */
const MAX_MESSAGE = 256 * 1024;

/**
 * A request for an extension that no agent has. Sent in place of a forbidden request: the agent then answers with a failure, in the order
 * of the requests.
 */
const UNKNOWN = message(EXTENSION, "none@docker-over-ssh");

/**
 * Limits the connection to an agent to listing keys and signing: the remote side cannot add, remove or lock keys. Owns the socket: both end
 * together. A message that is too long ends both, and so does an error of the socket. The stream emits no error in either case.
 */
export function readOnlyAgent(socket: Duplex): Duplex {
  return new ReadOnlyAgent(socket);
}

class ReadOnlyAgent extends Duplex {
  readonly #socket: Duplex;
  #pending: Buffer = Buffer.alloc(0);

  constructor(socket: Duplex) {
    super();
    this.#socket = socket;
    socket.on("data", (chunk: Buffer) => {
      if (!this.push(chunk)) socket.pause();
    });
    socket.on("end", () => this.push(null));
    socket.on("error", () => this.destroy());
    socket.on("close", () => this.destroyed || this.push(null));
  }

  override _read(): void {
    this.#socket.resume();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.#pending = Buffer.concat([this.#pending, chunk]);
    const requests: Buffer[] = [];
    while (this.#pending.length >= 4) {
      const length = this.#pending.readUInt32BE(0);
      if (length === 0 || length > MAX_MESSAGE) {
        this.destroy();
        return done();
      }
      if (this.#pending.length < 4 + length) break;
      const type = this.#pending[4];
      const isAllowed = type === REQUEST_IDENTITIES || type === SIGN_REQUEST;
      requests.push(isAllowed ? this.#pending.subarray(0, 4 + length) : UNKNOWN);
      this.#pending = this.#pending.subarray(4 + length);
    }
    if (requests.length === 0) return done();
    this.#socket.write(Buffer.concat(requests), () => done());
  }

  override _final(done: () => void): void {
    this.#socket.end(done);
  }

  override _destroy(_error: Error | null, done: () => void): void {
    this.#socket.destroy();
    done();
  }
}

function message(type: number, text: string): Buffer {
  const body = Buffer.concat([Buffer.from([type]), withLength(Buffer.from(text))]);
  return withLength(body);
}

function withLength(bytes: Buffer): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(bytes.length);
  return Buffer.concat([length, bytes]);
}
