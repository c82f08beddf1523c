import { timestampMs } from "@bufbuild/protobuf/wkt";
import { readTime } from "../images/times.ts";
import { Refusal } from "../refusal.ts";
import type { UsageRecord } from "./gen/control_pb.ts";

/** Selects the cache records to remove. */
export interface RecordChoice {
  /** Whether to include records that images use, and the builder's own */
  all: boolean;
  /** Bytes that the tenant may keep. The records used last are kept. */
  keepStorage?: number | undefined;
  /** The filters of `docker builder prune --filter`, e.g. `{ until: ["24h"] }` */
  filters: Readonly<Record<string, readonly string[]>>;
}

type Matcher = (record: UsageRecord, value: string, now: number) => boolean;

const FILTERS: Readonly<Record<string, Matcher>> = {
  until: (record, value, now) => usedAt(record) <= readTime(value, now),
  id: ({ ID }, value) => ID.startsWith(value),
  parent: ({ parents, parentDeprecated }, value) => [parentDeprecated, ...parents].includes(value),
  type: ({ recordType }, value) => recordType === value,
  description: ({ description }, value) => description === value,
  inuse: ({ inUse }, value) => inUse === /^(?:|1|t|true)$/i.test(value),
  shared: ({ shared }, value) => shared === /^(?:|1|t|true)$/i.test(value),
};

/**
 * Returns the records of a tenant that are to be removed. All filters must match, each with one of its values.
 *
 * @param now ms since 1970
 * @throws Refusal 400 for an unknown filter
 */
export function selectRecords(
  own: readonly UsageRecord[],
  { keepStorage, filters }: RecordChoice,
  now: number,
): UsageRecord[] {
  const matchers = Object.entries(filters).map(([name, values]): ((record: UsageRecord) => boolean) => {
    const matches = Object.hasOwn(FILTERS, name) ? FILTERS[name] : undefined;
    if (matches === undefined) {
      throw new Refusal("build.prune-filter", `the filter "${name.slice(0, 64)}" is not known here`, {
        statusCode: 400,
      });
    }
    return (record) => values.some((value) => matches(record, value, now));
  });
  const matching = own.filter((record) => matchers.every((matches) => matches(record)));
  if (keepStorage === undefined || keepStorage === 0) return matching;
  let total = own.reduce((sum, { size }) => sum + Number(size), 0);
  const chosen: UsageRecord[] = [];
  for (const record of matching.toSorted((a, b) => usedAt(a) - usedAt(b))) {
    if (total <= keepStorage) break;
    chosen.push(record);
    total -= Number(record.size);
  }
  return chosen;
}

/** Returns the time of the last use, in ms since 1970. */
function usedAt({ lastUsedAt, createdAt }: UsageRecord): number {
  const time = lastUsedAt ?? createdAt;
  return time === undefined ? 0 : timestampMs(time);
}
