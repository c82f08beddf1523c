import { readFileSync } from "node:fs";

/** Set by the build of the command, so that the command need not read a file for it. */
declare const PACKAGE_VERSION: string;

/** The version in package.json. */
export const VERSION = typeof PACKAGE_VERSION === "string" ? PACKAGE_VERSION : readVersion();

function readVersion(): string {
  const manifest = readFileSync(new URL("../package.json", import.meta.url), "utf8");
  return (JSON.parse(manifest) as { version: string }).version;
}
