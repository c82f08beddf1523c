import { create } from "@bufbuild/protobuf";
import type { ServiceImpl } from "@connectrpc/connect";
import { Refusal } from "../refusal.ts";
import { refuseUnknownFields } from "./unknown-fields.ts";
import {
  DiskUsageRequestSchema,
  PruneRequestSchema,
  UsageRecordSchema,
  type Control,
  type UsageRecord,
} from "./gen/control_pb.ts";
import type { RecordChoice } from "./choose-records.ts";
import { callOf } from "./tenant-call.ts";
import type { BuildkitDependencies } from "./dependencies.ts";

/** Nanoseconds in a second */
const SECOND = 1_000_000_000n;

/** Serves the calls of `docker buildx du` and `docker buildx prune`, limited to a tenant's own records. */
export function cacheService({
  cacheRecords,
}: BuildkitDependencies): Pick<ServiceImpl<typeof Control>, "diskUsage" | "prune"> {
  return {
    async diskUsage(request, { signal, values }) {
      const { tenant } = callOf(values).caller;
      refuseUnknownFields(DiskUsageRequestSchema, request);
      if (isFiltered(request.filter) || request.ageLimit !== 0n) throw noFilter();
      const records = await cacheRecords.list(tenant.id, signal);
      return { record: records.map(recordForTenant) };
    },

    async *prune(request, { signal, values }) {
      const { tenant } = callOf(values).caller;
      refuseUnknownFields(PruneRequestSchema, request);
      const { filter, all, keepDuration, reservedSpace, maxUsedSpace, minFreeSpace } = request;
      if (isFiltered(filter)) throw noFilter();
      if (maxUsedSpace !== 0n || minFreeSpace !== 0n) {
        throw new Refusal(
          "build.prune-space",
          "only --reserved-space (the amount of your own cache to keep) is supported here",
        );
      }
      const choice: RecordChoice = {
        all,
        keepStorage: Number(reservedSpace),
        filters: keepDuration === 0n ? {} : { until: [`${keepDuration / SECOND}s`] },
      };
      for (const record of await cacheRecords.prune(tenant.id, choice, signal)) {
        yield recordForTenant(record);
      }
    },
  };
}

/** buildx sends an empty filter. */
function isFiltered(filters: readonly string[]): boolean {
  return filters.some((filter) => filter !== "");
}

function noFilter(): Refusal {
  return new Refusal(
    "build.prune-filter",
    "cache records are listed and removed here without a filter, or by their age: omit --filter",
  );
}

/** Omits the command that created a record: a record that the host has built at the same time also counts as the tenant's. */
function recordForTenant(record: UsageRecord): UsageRecord {
  const { $typeName: _, $unknown: __, description: ___, ...known } = record;
  return create(UsageRecordSchema, known);
}
