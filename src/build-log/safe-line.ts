import { printable } from "../output/describe.ts";

const COLOUR = /(\u001b\[[\d;:]*m)/;
const RESET = "\u001b[0m";
/** The attributes that hide text or make it blink: no others make a line unreadable. */
const UNREADABLE = new Set(["5", "6", "8"]);

/**
 * Makes a line of a build safe for a terminal. Steps may print any bytes: all control sequences except colours are removed, and colours end
 * with the line.
 */
export function safeLine(line: string, keepsColours: boolean): string {
  // Split first: otherwise, the removal of a colour could join the text on its two sides into a new sequence.
  const parts = line.split(COLOUR).map((part, index) => {
    if (index % 2 === 0) return printable(part).replaceAll("\n", " ");
    return keepsColours && isReadable(part) ? part : "";
  });
  const safe = parts.join("");
  return safe.includes("\u001b") && !safe.endsWith(RESET) ? safe + RESET : safe;
}

/** Reads the attributes of an SGR sequence (ECMA-48, 8.3.117). The numbers after 38, 48 and 58 are colours. */
function isReadable(sequence: string): boolean {
  const attributes = sequence.slice(2, -1).split(";");
  for (let at = 0; at < attributes.length; at += 1) {
    const attribute = (attributes[at] ?? "").replace(/^0+(?=\d)/, "");
    if (["38", "48", "58"].includes(attribute)) at += attributes[at + 1] === "2" ? 4 : 2;
    else if (UNREADABLE.has(attribute.replace(/:.*/, ""))) return false;
  }
  return true;
}
