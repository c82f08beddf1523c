import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { brotliCompressSync, constants } from "node:zlib";

/** docker-over-ssh itself in one file, as the build has made it to be sent to a remote side that has only Node. */
export interface Bundle {
  /** SHA-256 of the file, hexadecimal */
  digest: string;
  /** Bytes of the file as it is sent: compressed by brotli */
  size: number;
  /** The code that receives the bundle and becomes it (src/bootstrap.ts): JavaScript, compressed by brotli, in base64 */
  bootstrap: string;
}

/** What the build knows of the bundle. */
interface BuiltBundle extends Bundle {
  /** As `bootstrap`, for the code that installs it (src/installer.ts) */
  installer: string;
}

/** The bundle that is running, where the bootstrap has started it: a parameter of the whole command (load-command.ts). */
declare const sentBundle: { text: string; digest: string; bootstrap: string } | undefined;

const sent = typeof sentBundle === "undefined" ? undefined : sentBundle;

/**
 * brotli's level for a bundle that is packed again, to be sent on: 0.1 s, and 12 % larger than by the build, which takes 4 s. Those who send it on
 * are near each other.
 */
const LEVEL_TO_SEND_ON = 5;

let packedAgain: Buffer | undefined;

/** Returns what is known of the bundle. Throws the file system's error where the package was not built. */
export function readBundle(): Bundle {
  if (sent === undefined) return readBuiltBundle();
  return { digest: sent.digest, bootstrap: sent.bootstrap, size: readPackedBundle().length };
}

/** Returns the bundle as it is sent. */
export function readPackedBundle(): Buffer {
  if (sent === undefined) return readFileSync(built("bundle.br"));
  const params = { [constants.BROTLI_PARAM_QUALITY]: LEVEL_TO_SEND_ON };
  return (packedAgain ??= brotliCompressSync(Buffer.from(sent.text, "latin1"), { params }));
}

/** Reads what the build knows of it. */
export function readBuiltBundle(): BuiltBundle {
  return JSON.parse(readFacts().toString("utf8")) as BuiltBundle;
}

/** Reads the same as bytes, which are installed with the bundle. */
export function readFacts(): Buffer {
  return readFileSync(built("bundle.json"));
}

/** Returns the path of a file that the build has made. This code is in dist/ itself, bundled in one file, or in dist/remote/script/. */
function built(name: string): string {
  const here = new URL(".", import.meta.url).href;
  return fileURLToPath(`${here.replace(/(?:\/dist|\/src)?(?:\/remote\/script)?\/$/, "/dist")}/${name}`);
}
