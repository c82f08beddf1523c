import type { ApiObject } from "../backend.ts";

/** Maximum characters of a quiet build's lines that are stored in case it fails */
const MAX_STORED = 1024 * 1024;

export interface BuildLines {
  take(line: ApiObject): void;
  onFailure(): void;
  onSuccess(id: string): void;
}

/** Passes on the lines of a build. With --quiet, passes on only the ID, or the first lines of a build that fails. */
export function buildLines(isQuiet: boolean, onLine: (line: ApiObject) => void): BuildLines {
  const storedLines: ApiObject[] = [];
  let size = 0;
  return {
    take(line) {
      if (!isQuiet) return onLine(line);
      size += JSON.stringify(line).length;
      if (size <= MAX_STORED) storedLines.push(line);
    },
    onFailure() {
      for (const line of storedLines) onLine(line);
    },
    onSuccess(id) {
      if (isQuiet) onLine({ stream: `${id}\n` });
    },
  };
}
