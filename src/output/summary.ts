import { bytes, duration, oneLine, plural } from "./describe.ts";
import type { TransferOutcome } from "./events.ts";

/** Puts the outcomes of several transfers into a table: image, host where there are several, result. */
export function summaryLines(transfers: readonly TransferOutcome[]): string[] {
  const hasHosts = new Set(transfers.map(({ host }) => host)).size > 1;
  const header = ["IMAGE", ...(hasHosts ? ["HOST"] : []), "RESULT"];
  const rows = transfers.map(({ image = "", host = "", ...outcome }) => [
    image,
    ...(hasHosts ? [host] : []),
    outcomeText(outcome),
  ]);
  return table([header, ...rows]);
}

function outcomeText({ result, error }: TransferOutcome): string {
  if (error !== undefined) return `failed: ${oneLine(error.message)}`;
  if (result === undefined) return "not begun";
  const { role, bytesSent, bytesReceived, layersSent, ms } = result;
  const moved = role === "sender" ? `${bytes(bytesSent)} sent` : `${bytes(bytesReceived)} received`;
  return `${moved}, ${plural(layersSent, "layer")}, ${duration(ms)}`;
}

/** Lines of columns, each as wide as its widest cell. */
function table(rows: readonly (readonly string[])[]): string[] {
  const width = (column: number): number => Math.max(...rows.map((row) => row[column]?.length ?? 0));
  return rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(width(column)))
      .join("   ")
      .trimEnd(),
  );
}
