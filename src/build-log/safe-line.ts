import { printable } from "../output/describe.ts";

const COLOUR = /(\u001b\[[\d;:]*m)/;
const RESET = "\u001b[0m";
/** Hides text or makes it blink: the only attributes that keep a line from being read. */
const UNREADABLE = new Set(["5", "6", "8"]);

/**
 * Makes a line of a build safe for a terminal. A step prints whatever it likes: colours may stay, and nothing else may steer the terminal.
 * Colours end with the line.
 */
export function safeLine(line: string, keepsColours: boolean): string {
  // Split first: what is removed on both sides of a colour cannot become a sequence again.
  const parts = line.split(COLOUR).map((part, index) => {
    if (index % 2 === 0) return printable(part).replaceAll("\n", " ");
    return keepsColours && isReadable(part) ? part : "";
  });
  const safe = parts.join("");
  return safe.includes("\u001b") && !safe.endsWith(RESET) ? safe + RESET : safe;
}

/** Reads the attributes of an SGR sequence (ECMA-48, 8.3.117). Those behind 38, 48 and 58 name a colour. */
function isReadable(sequence: string): boolean {
  const attributes = sequence.slice(2, -1).split(";");
  for (let at = 0; at < attributes.length; at += 1) {
    const attribute = (attributes[at] ?? "").replace(/^0+(?=\d)/, "");
    if (["38", "48", "58"].includes(attribute)) at += attributes[at + 1] === "2" ? 4 : 2;
    else if (UNREADABLE.has(attribute.replace(/:.*/, ""))) return false;
  }
  return true;
}
