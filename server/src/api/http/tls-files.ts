import { readFile } from "node:fs/promises";
import { createSecureContext } from "node:tls";
import { Failure, messageOf } from "docker-over-ssh/builds";
import type { ServeSettings } from "../../settings.ts";
import type { TlsFiles } from "./http-server.ts";

/** Reads the certificate and the key of the server. Throws a Failure `usage` for unusable files. */
export async function readTlsFiles({ certFile, keyFile }: NonNullable<ServeSettings["tls"]>): Promise<TlsFiles> {
  const [cert, key] = await Promise.all([readPem(certFile, "--tls-cert"), readPem(keyFile, "--tls-key")]);
  try {
    createSecureContext({ cert, key });
  } catch (error) {
    throw new Failure("usage", `cannot use ${certFile} and ${keyFile} for TLS: ${messageOf(error)}`, {
      expected: "the chain of certificates, the server's own first, and its key, both in PEM, the key not encrypted",
      cause: error,
    });
  }
  return { cert, key };
}

async function readPem(path: string, option: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (error) {
    throw new Failure("usage", `cannot read the file of ${option}: ${messageOf(error)}`, {
      expected: "a file in PEM that this user may read",
      cause: error,
    });
  }
}
