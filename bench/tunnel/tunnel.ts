/**
 * Measures speed and memory of the tunnel: `npm run bench:tunnel`, with `--quick` for less data and `--json FILE`.
 * Uses dist/ (`npm run build`). The compared alternatives take turns in one run. Prints medians, and both values of each ratio.
 */
import { existsSync, writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { median } from "../statistics.ts";
import { bare, tunnel, twoCats, type TunnelRun } from "./measure.ts";

const { values: flags } = parseArgs({
  options: { quick: { type: "boolean", default: false }, json: { type: "string" } },
});
const BYTES = flags.quick ? 200e6 : 1e9;
const REPEATS = flags.quick ? 3 : 5;
const LARGE = flags.quick ? 500e6 : 5e9;
/** The limit for the resident memory of either side in bytes, regardless of the data that is sent. */
const BUDGET = 200e6;

interface Row {
  what: string;
  MBps: number;
  nextTo: string;
  nextToMBps: number;
  ratio: number;
  /** The CPU seconds of both sides together for each GB. */
  cpuPerGB: number;
}

interface Memory {
  what: string;
  MBps: number;
  senderMB: number;
  receiverMB: number;
  verdict: "ok" | "too much";
}

const speed = (seconds: number[]): number => BYTES / 1e6 / median(seconds);
const cpu = (runs: TunnelRun[]): number =>
  median(runs.map(({ sender, receiver }) => sender.cpu + receiver.cpu)) / (BYTES / 1e9);

async function compare(): Promise<Row[]> {
  const cats: number[] = [];
  const bares: number[] = [];
  const runs: Record<"one" | "four" | "stalled" | "eight", TunnelRun[]> = { one: [], four: [], stalled: [], eight: [] };
  for (let repeat = 0; repeat < REPEATS; repeat++) {
    cats.push(await twoCats(BYTES));
    bares.push(await bare(BYTES));
    runs.one.push(await tunnel(BYTES, 1));
    runs.four.push(await tunnel(BYTES / 4, 4));
    runs.stalled.push(await tunnel(BYTES, 1, 1));
    runs.eight.push(await tunnel(BYTES, 1, 8));
  }
  const of = (name: keyof typeof runs): number => speed(runs[name].map(({ seconds }) => seconds));
  const row = (what: string, name: keyof typeof runs, nextTo: string, nextToMBps: number): Row => ({
    what,
    MBps: of(name),
    nextTo,
    nextToMBps,
    ratio: of(name) / nextToMBps,
    cpuPerGB: cpu(runs[name]),
  });
  return [
    row("1 stream", "one", "cat | cat", speed(cats)),
    row("1 stream", "one", "the same processes without a tunnel", speed(bares)),
    row("4 streams", "four", "cat | cat", speed(cats)),
    row("1 stream beside 1 that nobody reads", "stalled", "1 stream", of("one")),
    row("1 stream beside 8 that nobody reads", "eight", "1 stream", of("one")),
  ];
}

async function memory(): Promise<Memory[]> {
  const rows: Memory[] = [];
  for (const [what, streams, stalled] of [
    ["1 stream", 1, 0],
    ["1 stream beside 8 that nobody reads", 1, 8],
  ] as const) {
    const { seconds, sender, receiver } = await tunnel(LARGE, streams, stalled);
    rows.push({
      what: `${LARGE / 1e9} GB on ${what}`,
      MBps: LARGE / 1e6 / seconds,
      senderMB: sender.peak / 1e6,
      receiverMB: receiver.peak / 1e6,
      verdict: Math.max(sender.peak, receiver.peak) < BUDGET ? "ok" : "too much",
    });
  }
  return rows;
}

function print(title: string, rows: object[]): void {
  const words = rows.map((row) =>
    Object.fromEntries(
      Object.entries(row).map(([key, value]) => [
        key,
        typeof value === "number" ? Number(value.toPrecision(3)) : value,
      ]),
    ),
  );
  console.log(`\n${title}`);
  console.table(words);
}

if (!existsSync(new URL("../../dist/stdio-tunnel/session.js", import.meta.url))) {
  throw new Error("there is no dist/ to measure: npm run build");
}
const speeds = await compare();
const sizes = await memory();
print(`Speed: ${BYTES / 1e6} MB, median of ${REPEATS}, Node ${process.version}`, speeds);
print(`Memory: the largest resident set, of ${BUDGET / 1e6} MB allowed`, sizes);
if (flags.json !== undefined)
  writeFileSync(flags.json, `${JSON.stringify({ node: process.version, bytes: BYTES, speeds, sizes }, null, 2)}\n`);
