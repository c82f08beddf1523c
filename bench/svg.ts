import { figure, megabytes } from "./table.ts";
import type { Row } from "./results.ts";

const WIDTH = 860;
const LABEL = 260;
const BAR = 400;
const LINE = 20;

export interface Group {
  title: string;
  rows: Row[];
}

/** Draws bars, one group for each scenario. The longest bar of a group has the full width. The colours differ on light and dark pages. */
export function svg(title: string, groups: Group[]): string {
  const parts: string[] = [];
  let y = 30;
  for (const { title, rows } of groups) {
    const longest = Math.max(...rows.map(({ seconds = 0 }) => seconds));
    parts.push(text(10, (y += LINE), title, "title"));
    for (const row of rows) {
      y += LINE;
      const length = longest === 0 ? 0 : Math.max(1, ((row.seconds ?? 0) / longest) * BAR);
      const kind = row.ours ? "ours" : "peer";
      const words = `${figure(row.seconds)} s · ${megabytes(row.toFar)} MB`;
      parts.push(
        text(LABEL - 8, y, row.peer, `label ${kind}`),
        `<rect class="${kind}" x="${LABEL}" y="${y - 12}" width="${length.toFixed(1)}" height="14"/>`,
        text(LABEL + length + 8, y, words, "value"),
      );
    }
    y += LINE / 2;
  }
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${y + 20}" width="${WIDTH}" role="img" aria-label="${escape(title)}">
<style>
text { font: 13px system-ui, sans-serif; fill: #57606a }
.head, .title { font-weight: 600; fill: #1f2328 }
.label { text-anchor: end }
text.ours { font-weight: 600 }
rect.ours { fill: #1a7f37 }
rect.peer { fill: #8c959f }
@media (prefers-color-scheme: dark) {
  text { fill: #9198a1 }
  .head, .title { fill: #f0f6fc }
  rect.ours { fill: #3fb950 }
}
</style>
${text(10, 20, title, "head")}
${parts.join("\n")}
</svg>
`;
}

function text(x: number, y: number, words: string, kind: string): string {
  return `<text class="${kind}" x="${x.toFixed(1)}" y="${y}">${escape(words)}</text>`;
}

function escape(words: string): string {
  return words.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");
}
