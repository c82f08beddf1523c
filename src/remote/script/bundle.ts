import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { brotliCompressSync, constants } from "node:zlib";

/** docker-over-ssh itself in one file, which the build creates for remote sides that have only Node. */
export interface Bundle {
  /** SHA-256 of the file, hexadecimal */
  digest: string;
  /** Bytes of the file compressed with brotli, as it is sent */
  size: number;
  /** The code that receives and runs the bundle (src/bootstrap.ts): JavaScript, compressed with brotli, in base64 */
  bootstrap: string;
}

/** The build's description of the bundle. */
interface BuiltBundle extends Bundle {
  /** Like `bootstrap`, but the code that installs the bundle (src/installer.ts) */
  installer: string;
}

/** The running bundle, if the bootstrap has started it: a parameter of the whole command (load-command.ts). */
declare const sentBundle: { text: string; digest: string; bootstrap: string } | undefined;

const sent = typeof sentBundle === "undefined" ? undefined : sentBundle;

/**
 * brotli's level for a bundle that is packed again and sent on: takes 0.1 s instead of the build's 4 s, and the result is 12 % larger.
 * Hosts that send it on are usually near each other.
 */
const LEVEL_TO_SEND_ON = 5;

let packedAgain: Buffer | undefined;

/** Returns the description of the bundle. Throws the file system's error if the package was not built. */
export function readBundle(): Bundle {
  if (sent === undefined) return readBuiltBundle();
  return { digest: sent.digest, bootstrap: sent.bootstrap, size: readPackedBundle().length };
}

/** Returns the compressed bundle. */
export function readPackedBundle(): Buffer {
  if (sent === undefined) return readFileSync(built("bundle.br"));
  const params = { [constants.BROTLI_PARAM_QUALITY]: LEVEL_TO_SEND_ON };
  return (packedAgain ??= brotliCompressSync(Buffer.from(sent.text, "latin1"), { params }));
}

/** Reads the build's description of the bundle. */
export function readBuiltBundle(): BuiltBundle {
  return JSON.parse(readFacts().toString("utf8")) as BuiltBundle;
}

/** Reads the same description as bytes, which are installed with the bundle. */
export function readFacts(): Buffer {
  return readFileSync(built("bundle.json"));
}

/** Returns the path of a file that the build has created. This code is in dist/ itself, bundled in one file, or in dist/remote/script/. */
function built(name: string): string {
  const here = new URL(".", import.meta.url).href;
  return fileURLToPath(`${here.replace(/(?:\/dist|\/src)?(?:\/remote\/script)?\/$/, "/dist")}/${name}`);
}
