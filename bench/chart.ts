import { sorted, type Row } from "./results.ts";
import { SCENARIOS } from "./scenarios.ts";
import { LINKS } from "./links.ts";
import { STORES } from "./stores.ts";
import { svg } from "./svg.ts";

/** The link in the picture is the first of these that was measured. 100 Mbit/s is the most common rate. */
const SHOWN = ["100mbit", "loopback", "10mbit"];

/** Draws the picture of the README: all scenarios of one store over one link. Returns undefined if nothing was measured. */
export function chart(rows: Row[]): string | undefined {
  const measured = sorted(rows).filter(({ seconds }) => seconds !== undefined);
  const link = LINKS.find(({ name }) => name === SHOWN.find((name) => measured.some((row) => row.link === name)));
  const store = STORES.find(({ name }) => measured.some((row) => row.store === name && row.link === link?.name));
  if (link === undefined || store === undefined) return undefined;
  const groups = SCENARIOS.map(({ name, title }) => ({
    title,
    rows: measured.filter((row) => row.store === store.name && row.link === link.name && row.scenario === name),
  }));
  const title = `Moving an image of 1.4 GB: seconds, and megabytes sent; ${link.title}, ${store.name}`;
  return svg(
    title,
    groups.filter(({ rows }) => rows.length > 0),
  );
}
