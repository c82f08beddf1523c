/**
 * Compares the time and the bytes of an image transfer with those of other tools: `npm run bench`. Uses real engines, a real ssh, and an
 * image of 1.4 GB from Debian and npm packages. A full run takes hours; options.ts selects parts.
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { checkTestbed } from "../test/testbed/check.ts";
import { installWithApt } from "../test/testbed/packages.ts";
import { findProgram } from "../test/testbed/programs.ts";
import { comparePlans, planTable, type PlanRow } from "./plan.ts";
import { readOptions, USAGE, type Options } from "./options.ts";
import { merge, sorted, type Row } from "./results.ts";
import { runStore } from "./run.ts";
import { addEngines, describeWorkload, notes, surroundings, type Surroundings } from "./surroundings.ts";
import { chart } from "./chart.ts";
import { figure, megabytes, table } from "./table.ts";

interface Results {
  surroundings: Surroundings;
  rows: Row[];
}

const say = (words: string): void => console.error(`${new Date().toISOString().slice(11, 19)} ${words}`);

const options = understand();
if (options?.draw) {
  const { surroundings, rows } = readResults(options.json);
  report(options, sorted(rows), surroundings);
} else if (options?.plan) await printPlans(options);
else if (options !== undefined) await main(options);

function understand(): Options | undefined {
  const args = process.argv.slice(2);
  if (args.includes("--help")) {
    console.log(USAGE);
    return undefined;
  }
  try {
    return readOptions(args);
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : String(error)}\n\n${USAGE}`);
    process.exitCode = 2;
  }
}

async function main(options: Options): Promise<void> {
  const check = await checkTestbed();
  if (!check.usable) throw new Error(`the benchmark needs two engines: ${check.why}`);
  const before = options.add && existsSync(options.json) ? readResults(options.json) : undefined;
  if ((await findProgram("zstd")) === undefined) await installWithApt(["zstd"]);
  const about = await surroundings(before?.surroundings);
  const rows: Row[] = [];
  const all = (): Row[] => sorted(merge(before?.rows ?? [], rows));
  const stop = onSignal();
  try {
    say("the workload: from the cache, or made now, which takes some minutes");
    await describeWorkload(about, options.scenarios, stop);
    for (const store of options.stores) {
      await runStore(store, options, {
        signal: stop,
        say,
        onStage: (stage) => addEngines(about, stage),
        onRow(row) {
          rows.push(row);
          say(lineOf(row));
          writeFileSync(options.json, `${JSON.stringify({ surroundings: about, rows: all() }, null, 2)}\n`);
        },
      });
    }
  } catch (error) {
    if (!stop.aborted) throw error;
    say(`${stop.reason}`);
    process.exitCode = 1;
  }
  writeFileSync(options.json, `${JSON.stringify({ surroundings: about, rows: all() } satisfies Results, null, 2)}\n`);
  report(options, all(), about);
}

async function printPlans(options: Options): Promise<void> {
  const signal = onSignal();
  const rows: PlanRow[] = [];
  for (const store of options.stores) rows.push(...(await comparePlans(store, options, { signal, say })));
  console.log(planTable(rows));
}

/** Draws the picture and prints the table. */
function report({ svg }: Options, rows: Row[], about: Surroundings): void {
  const picture = chart(rows);
  if (picture !== undefined) writeFileSync(svg, picture);
  console.log(`${table(rows)}\n\n${notes(about).join("\n")}`);
}

/** Aborts on the first signal, so that the benchmark cleans up. On a second signal, the reaper of the test bed cleans up. */
function onSignal(): AbortSignal {
  const stop = new AbortController();
  let first: number | undefined;
  for (const name of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.on(name, () => {
      first ??= Date.now();
      stop.abort(new Error(`stopped by ${name}`));
      // npm forwards the signal, which the terminal has already sent to this process.
      if (Date.now() > first + 1000) process.exit(130);
    });
  }
  return stop.signal;
}

function readResults(file: string): Results {
  return JSON.parse(readFileSync(file, "utf8")) as Results;
}

function lineOf({ store, scenario, link, peer, seconds, toFar, why }: Row): string {
  const sent = toFar === undefined ? [] : [`${megabytes(toFar)} MB`];
  const outcome = seconds === undefined ? [...sent, why] : [`${figure(seconds)} s`, ...sent];
  return `${store} · ${scenario} · ${link} · ${peer}: ${outcome.join(", ")}`;
}
