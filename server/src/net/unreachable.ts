import { Failure } from "docker-over-ssh/builds";

/** Words for the codes of Node's errors. Its own messages contain addresses of the server's network, and names in certificates. */
const WORDS: Readonly<Record<string, string>> = {
  ENOTFOUND: "its name has no address",
  EAI_AGAIN: "its name cannot be resolved at the moment",
  ECONNREFUSED: "it refuses connections to this port",
  ECONNRESET: "it ended the connection",
  EPIPE: "it ended the connection",
  ETIMEDOUT: "it does not answer",
  EHOSTUNREACH: "no route leads to it",
  ENETUNREACH: "no route leads to it",
  EPROTO: "it does not speak TLS",
  CERT_HAS_EXPIRED: "its certificate has expired",
  CERT_NOT_YET_VALID: "its certificate is not valid yet",
  DEPTH_ZERO_SELF_SIGNED_CERT: "its certificate is signed by itself",
  SELF_SIGNED_CERT_IN_CHAIN: "its certificate is of an authority that this machine does not trust",
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: "its certificate is of an authority that this machine does not trust",
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: "its certificate is of an authority that this machine does not trust",
  ERR_TLS_CERT_ALTNAME_INVALID: "its certificate is for another host",
  HPE_HEADER_OVERFLOW: "the headers of its answer are too long",
};

/** Makes a Failure `transfer-failed` of an error of DNS, of a connection, of TLS or of HTTP. Keeps the error out of what others see. */
export function unreachable({ host }: URL, error: unknown): Failure {
  const { code = "no code" } = error as { code?: string };
  const words = WORDS[code] ?? (code.startsWith("HPE_") ? "its answer is not HTTP" : `the connection failed (${code})`);
  return new Failure("transfer-failed", `${host} cannot be reached: ${words}`, {
    expected: "an answer of a web server",
    hint: "Check the address.",
    cause: error,
  });
}
