import { Failure } from "docker-over-ssh/builds";

/**
 * Messages for the codes of Node's errors. Node's own messages contain addresses of the server's network, and names
 * from certificates.
 */
const WORDS: Readonly<Record<string, string>> = {
  ENOTFOUND: "its name has no address",
  EAI_AGAIN: "its name cannot be resolved at the moment",
  ECONNREFUSED: "it refuses connections on this port",
  ECONNRESET: "it closed the connection",
  EPIPE: "it closed the connection",
  ETIMEDOUT: "it does not answer",
  EHOSTUNREACH: "no route leads to it",
  ENETUNREACH: "no route leads to it",
  EPROTO: "it does not speak TLS",
  CERT_HAS_EXPIRED: "its certificate has expired",
  CERT_NOT_YET_VALID: "its certificate is not valid yet",
  DEPTH_ZERO_SELF_SIGNED_CERT: "its certificate is self-signed",
  SELF_SIGNED_CERT_IN_CHAIN: "its certificate is from an authority that this machine does not trust",
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: "its certificate is from an authority that this machine does not trust",
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: "its certificate is from an authority that this machine does not trust",
  ERR_TLS_CERT_ALTNAME_INVALID: "its certificate is for another host",
  HPE_HEADER_OVERFLOW: "the headers of its answer are too long",
};

/**
 * Creates a Failure `transfer-failed` from an error of DNS, of a connection, of TLS or of HTTP. Does not attach the
 * original error, so clients cannot see it.
 */
export function unreachable({ host }: URL, error: unknown): Failure {
  const { code = "no code" } = error as { code?: string };
  const words = WORDS[code] ?? (code.startsWith("HPE_") ? "its answer is not HTTP" : `the connection failed (${code})`);
  return new Failure("transfer-failed", `${host} cannot be reached: ${words}`, {
    expected: "a response from a web server",
    hint: "Check the address.",
    cause: error,
  });
}
