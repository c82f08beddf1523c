import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from "node:crypto";
import { link, open, readFile, unlink } from "node:fs/promises";
import { Failure, messageOf, type Credentials } from "docker-over-ssh/builds";

/** Minimum bytes of a key file, and the bytes of a new one (as base64). */
const MIN_KEY = 32;
const NEW_KEY = 48;
/** Bytes of the nonce and of the tag of AES-256-GCM (NIST SP 800-38D) */
const NONCE_LENGTH = 12;
const TAG_LENGTH = 16;
/** Identifies the layout of a sealed text: `1.` and, in base64url, nonce, tag and ciphertext. */
const VERSION = "1.";

/**
 * Encrypts the credentials of a job, so that a store may contain them. A sealed text can be opened only with the same
 * key, and for the same job and name.
 */
export interface Seal {
  seal(job: SealedFor, credentials: Credentials): string;
  /** Throws a `refused` Failure for a text that was changed, or sealed with another key or for another job. */
  open(job: SealedFor, sealed: string): Credentials;
}

/**
 * The job, and the image's name, which determines the registry that gets the credentials: a writer to the store cannot
 * redirect them.
 */
export interface SealedFor {
  id: string;
  name: string;
}

/**
 * Creates a seal from the content of a key file (AES-256-GCM; the key by HKDF-SHA-256, RFC 5869).
 *
 * @param secret at least 32 bytes
 */
export function createSeal(secret: Uint8Array): Seal {
  const key = Buffer.from(hkdfSync("sha256", secret, "", "docker-over-ssh-server credentials 1", 32));
  return {
    seal(job, { username, password }) {
      const nonce = randomBytes(NONCE_LENGTH);
      const cipher = createCipheriv("aes-256-gcm", key, nonce, { authTagLength: TAG_LENGTH }).setAAD(boundTo(job));
      const text = JSON.stringify({ username, password });
      const sealed = Buffer.concat([cipher.update(text, "utf8"), cipher.final()]);
      return VERSION + Buffer.concat([nonce, cipher.getAuthTag(), sealed]).toString("base64url");
    },
    open(job, sealed) {
      if (!sealed.startsWith(VERSION)) throw unreadable();
      const bytes = Buffer.from(sealed.slice(VERSION.length), "base64url");
      try {
        const decipher = createDecipheriv("aes-256-gcm", key, bytes.subarray(0, NONCE_LENGTH), {
          authTagLength: TAG_LENGTH,
        })
          .setAAD(boundTo(job))
          .setAuthTag(bytes.subarray(NONCE_LENGTH, NONCE_LENGTH + TAG_LENGTH));
        const text = Buffer.concat([decipher.update(bytes.subarray(NONCE_LENGTH + TAG_LENGTH)), decipher.final()]);
        return JSON.parse(text.toString("utf8")) as Credentials;
      } catch (error) {
        throw unreadable(error);
      }
    },
  };
}

function boundTo({ id, name }: SealedFor): Buffer {
  return Buffer.from(JSON.stringify([id, name]));
}

function unreadable(cause?: unknown): Failure {
  return new Failure("refused", "the sealed credentials of the build cannot be opened", {
    expected: "credentials that were sealed with the key of this server",
    hint: "Start all servers and workers with the same --key-file, or all without one, and submit the build again.",
    cause,
  });
}

/**
 * Reads a key file. Creates a missing one from random bytes, for this user alone: the first server creates it, and the
 * others get a copy.
 *
 * @throws a `usage` Failure for a file that is too short, that others may read, or that can be neither read nor created
 */
export async function readKeyFile(path: string): Promise<Seal> {
  return createSeal((await existing(path)) ?? (await make(path)));
}

/** Returns the content of a key file; undefined if it is missing. */
async function existing(path: string): Promise<Buffer | undefined> {
  let content: Buffer;
  try {
    await using file = await open(path, "r");
    const { mode } = await file.stat();
    if ((mode & 0o077) !== 0 && process.platform !== "win32") throw mayBeRead(path, mode);
    content = await file.readFile();
  } catch (error) {
    if (error instanceof Failure) throw error;
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw new Failure("usage", `the key file ${path} cannot be read: ${messageOf(error)}`, {
      expected: "a file that this user may read",
      hint: "Check the path of --key-file and its permissions.",
      cause: error,
    });
  }
  if (content.length >= MIN_KEY) return content;
  throw new Failure("usage", `the key file ${path} is too short: it has ${content.length} bytes`, {
    expected: `a file of at least ${MIN_KEY} random bytes`,
    hint: "Remove it, and the server creates one; or create one with: openssl rand -base64 48",
  });
}

function mayBeRead(path: string, mode: number): Failure {
  return new Failure("usage", `the key file ${path} may be read by other users (mode ${(mode & 0o777).toString(8)})`, {
    expected: "a file that only its owner may read",
    hint: `chmod 600 ${path}`,
  });
}

/** Creates the complete key file, unless another server is faster. Returns the content of the file. */
async function make(path: string): Promise<Buffer> {
  const part = `${path}.${randomBytes(6).toString("hex")}.part`;
  try {
    const file = await open(part, "wx", 0o600);
    try {
      await file.writeFile(`${randomBytes(NEW_KEY).toString("base64")}\n`);
      await file.sync();
    } finally {
      await file.close();
    }
    // Unlike rename(2), link(2) replaces nothing.
    await link(part, path).catch((error: unknown) => {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    });
    return await readFile(path);
  } catch (error) {
    throw new Failure("usage", `the key file ${path} cannot be created: ${messageOf(error)}`, {
      expected: "a path in a folder that this user may write to",
      hint: "Check the path of --key-file.",
      cause: error,
    });
  } finally {
    await unlink(part).catch(() => {});
  }
}
