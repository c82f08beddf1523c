import { create } from "@bufbuild/protobuf";
import type { ServiceImpl } from "@connectrpc/connect";
import { inTenantsWords } from "../images/names.ts";
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
import type { TenantConnection } from "./tenant-connection.ts";

/** Nanoseconds in a second */
const SECOND = 1_000_000_000n;

/** What `docker buildx du` and `docker buildx prune` call, for a tenant's own records. */
export function cacheService({
  caller: { tenant },
  parts: { cacheRecords },
}: TenantConnection): Pick<ServiceImpl<typeof Control>, "diskUsage" | "prune"> {
  return {
    async diskUsage(request, { signal }) {
      refuseUnknownFields(DiskUsageRequestSchema, request);
      if (isFiltered(request.filter) || request.ageLimit !== 0n) throw noFilter();
      const records = await cacheRecords.list(tenant.id, signal);
      return { record: records.map((record) => recordForTenant(tenant.id, record)) };
    },

    async *prune(request, { signal }) {
      refuseUnknownFields(PruneRequestSchema, request);
      const { filter, all, keepDuration, reservedSpace, maxUsedSpace, minFreeSpace } = request;
      if (isFiltered(filter)) throw noFilter();
      if (maxUsedSpace !== 0n || minFreeSpace !== 0n) {
        throw new Refusal("build.prune-space", "only --reserved-space says here how much of your own cache is kept");
      }
      const choice: RecordChoice = {
        all,
        keepStorage: Number(reservedSpace),
        filters: keepDuration === 0n ? {} : { until: [`${keepDuration / SECOND}s`] },
      };
      for (const record of await cacheRecords.prune(tenant.id, choice, signal)) {
        yield recordForTenant(tenant.id, record);
      }
    },
  };
}

/** buildx sends one that is empty. */
function isFiltered(filters: readonly string[]): boolean {
  return filters.some((filter) => filter !== "");
}

function noFilter(): Refusal {
  return new Refusal(
    "build.prune-filter",
    "cache records are listed and removed here without a filter, or by their age: leave --filter out",
  );
}

function recordForTenant(tenant: string, record: UsageRecord): UsageRecord {
  const { $typeName: _, $unknown: __, description, ...known } = record;
  return create(UsageRecordSchema, { ...known, description: inTenantsWords(tenant, description) });
}
