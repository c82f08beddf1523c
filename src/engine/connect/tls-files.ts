import { X509Certificate } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { createSecureContext } from "node:tls";
import { Failure, messageOf } from "../../output/errors.ts";
import type { TlsMaterial } from "./endpoint.ts";

export interface TlsFileRules {
  /** Whether a missing `ca.pem` is an error. */
  requireCa: boolean;
  /** Whether to verify the engine's certificate. */
  verify: boolean;
  /** The setting that requests TLS, for messages, e.g. `DOCKER_TLS_VERIFY` or `context prod`. */
  source: string;
}

/**
 * Reads `ca.pem`, `cert.pem` and `key.pem` of a folder. Like the docker CLI, it ignores a certificate without its key, and a key without
 * its certificate. Returns undefined if none of the three files exists.
 *
 * @throws Failure `engine-unreachable` when a required file is missing, or a file is unreadable or invalid
 */
export async function readTlsFiles(
  folder: string,
  { requireCa, verify, source }: TlsFileRules,
): Promise<TlsMaterial | undefined> {
  const unusable = (name: string, error: unknown): Failure => unusableFile(join(folder, name), error, source);
  const read = async (name: string, required: boolean): Promise<Buffer | undefined> => {
    try {
      return await readFile(join(folder, name));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT" && !required) return undefined;
      throw unusable(name, error);
    }
  };
  const [ca, cert, key] = await Promise.all([
    read("ca.pem", requireCa),
    read("cert.pem", false),
    read("key.pem", false),
  ]);
  if (ca === undefined && cert === undefined && key === undefined) return undefined;
  const pair = cert !== undefined && key !== undefined ? { cert, key } : {};
  try {
    if (ca !== undefined) new X509Certificate(ca); // OpenSSL would ignore an unreadable bundle, and trust no certificate
  } catch (error) {
    throw unusable("ca.pem", error);
  }
  try {
    createSecureContext(pair);
  } catch (error) {
    throw unusable("{cert,key}.pem", error);
  }
  return { verify, ...(ca !== undefined && { ca }), ...pair };
}

function unusableFile(path: string, error: unknown, source: string): Failure {
  return new Failure(
    "engine-unreachable",
    `cannot use ${path} for the TLS connection to the engine (${source}): ${messageOf(error)}`,
    {
      expected: "ca.pem, cert.pem and key.pem in PEM, the key not encrypted, readable by this user",
      hint: source.startsWith("context")
        ? "Create the context again."
        : "Set DOCKER_CERT_PATH to the folder that contains them, or unset DOCKER_TLS_VERIFY and DOCKER_TLS.",
      cause: error,
    },
  );
}
