import { bytes, duration } from "./describe.ts";
import type { TransferEvent, TransferName } from "./events.ts";

/** The cells of a row, and its transfer. */
interface Row {
  transfer: TransferName;
  cells: readonly [result: string, moved: string, time: string];
}

/** Collects how the transfers of a command ended, for a table at the command's end. */
export class OutcomeTable {
  readonly #rows: Row[] = [];

  add(event: TransferEvent): void {
    const { transfer } = event;
    if (transfer === undefined) return;
    if (event.type === "error") this.#rows.push({ transfer, cells: [`failed: ${event.code}`, "", ""] });
    if (event.type !== "result") return;
    const { role, bytesSent, bytesReceived, layersSent, ms } = event;
    if (event.isDryRun === true) {
      this.#rows.push({ transfer, cells: ["a dry run", "nothing sent", duration(ms)] });
      return;
    }
    const moved = role === "sender" ? `${bytes(bytesSent)} sent` : `${bytes(bytesReceived)} received`;
    const result = layersSent === 0 ? "done, had all layers" : "done";
    this.#rows.push({ transfer, cells: [result, moved, duration(ms)] });
  }

  /** Returns the table, in the order in which the transfers ended; nothing for a single transfer. Names images and hosts if there are several. */
  lines(): string[] {
    if (this.#rows.length < 2) return [];
    const names = (["image", "host"] as const).filter(
      (name) => new Set(this.#rows.flatMap(({ transfer }) => transfer[name] ?? [])).size > 1,
    );
    const rows = this.#rows.map(({ transfer, cells }) => [...names.map((name) => transfer[name] ?? ""), ...cells]);
    const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0))) ?? [];
    return rows.map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join("  ")
        .trimEnd(),
    );
  }
}
