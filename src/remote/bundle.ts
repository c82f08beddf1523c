import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** docker-over-ssh itself in one file, as the build has made it to be sent to a remote side that has only Node. */
export interface Bundle {
  /** SHA-256 of the file, hexadecimal */
  digest: string;
  /** Bytes of the file as it is sent: compressed by brotli */
  size: number;
  /** The code that receives the bundle and becomes it (src/bootstrap.ts): JavaScript, compressed by brotli, in base64 */
  bootstrap: string;
  /** The same for the code that installs it (src/installer.ts) */
  installer: string;
}

/** Reads what is known of the bundle. Throws the file system's error where the package was not built. */
export function readBundle(): Bundle {
  return JSON.parse(readFacts().toString("utf8")) as Bundle;
}

/** Reads the same as bytes, which are installed with the bundle. */
export function readFacts(): Buffer {
  return readFileSync(built("bundle.json"));
}

/** Reads the bundle as it is sent. */
export function readPackedBundle(): Buffer {
  return readFileSync(built("bundle.br"));
}

/** Returns the path of a file that the build has made. This code is in dist/ itself, bundled in one file, or in dist/remote/. */
function built(name: string): string {
  const here = new URL(".", import.meta.url).href;
  return fileURLToPath(`${here.replace(/(?:\/dist|\/src)?(?:\/remote)?\/$/, "/dist")}/${name}`);
}
