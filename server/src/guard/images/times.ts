import { Refusal } from "../refusal.ts";

/** ms of each unit */
const UNITS: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
};
const DURATION = /^(?:\d+(?:\.\d+)?(?:ns|us|µs|ms|s|m|h))+$/;
const STAMP = /^\d{4}-\d{2}-\d{2}(?:T\d{2}(?::\d{2}(?::\d{2}(?:\.\d+)?)?)?)?(?:Z|[+-]\d{2}:\d{2})?$/;

/**
 * Parses a time that docker accepts in `until`: seconds since 1970, a date, or a duration before `now` (`1h30m`). Dates without a zone are in UTC.
 *
 * @returns ms since 1970
 * @throws Refusal 400
 */
export function readTime(given: string, now: number): number {
  const time = secondsOf(given) ?? agoOf(given, now) ?? dateOf(given);
  if (time === undefined || Number.isNaN(time)) {
    throw new Refusal(
      "filter.time",
      `"${given.slice(0, 80)}" is not a time: use 1h30m, a date, or seconds since 1970`,
      {
        statusCode: 400,
      },
    );
  }
  return time;
}

function secondsOf(given: string): number | undefined {
  return /^\d{1,12}(?:\.\d{1,9})?$/.test(given) ? Number(given) * 1000 : undefined;
}

function agoOf(given: string, now: number): number | undefined {
  if (given.length > 64 || !DURATION.test(given)) return undefined;
  const parts = [...given.matchAll(/(\d+(?:\.\d+)?)([a-zµ]+)/g)];
  return now - parts.reduce((sum, [, count, unit = ""]) => sum + Number(count) * (UNITS[unit] ?? 0), 0);
}

function dateOf(given: string): number | undefined {
  if (!STAMP.test(given)) return undefined;
  const [date = "", clock] = given.split("T");
  const [, day = "", ownZone] = /^(\d{4}-\d{2}-\d{2})(Z|[+-]\d{2}:\d{2})?$/.exec(date) ?? [];
  if (clock === undefined) return Date.parse(`${day}T00:00:00${ownZone ?? "Z"}`);
  const [, hours = "", zone = "Z"] = /^(.*?)(Z|[+-]\d{2}:\d{2})?$/.exec(clock) ?? [];
  const padded = hours.length === 2 ? `${hours}:00:00` : hours.length === 5 ? `${hours}:00` : hours;
  return Date.parse(`${day}T${padded}${zone}`);
}
