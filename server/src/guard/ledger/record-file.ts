import { Type } from "typebox";
import { Value } from "typebox/value";
import { Failure } from "docker-over-ssh/builds";
import { isTenantId } from "../tenant.ts";
import type { LedgerRecord } from "./ledger.ts";

/** Maximum bytes of a file: some 100,000 images */
export const MAX_FILE = 16 * 1024 * 1024;
const VERSION = 1;
const Count = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER });
const closed = { additionalProperties: false };
const RECORD = Type.Object(
  {
    version: Type.Literal(VERSION),
    tenant: Type.String(),
    mayReturn: Type.Boolean(),
    images: Type.Array(
      Type.Object(
        {
          id: Type.String({ pattern: "^sha256:[0-9a-f]{64}$" }),
          created: Count,
          isIntermediate: Type.Optional(Type.Literal(true)),
        },
        closed,
      ),
    ),
    cacheRecords: Type.Array(Type.String({ pattern: "^[\\w.:-]{1,128}$" })),
    hours: Type.Array(Type.Object({ hour: Count, buildTime: Count, pushBytes: Count }, closed)),
  },
  closed,
);

/**
 * Returns the record of an unknown tenant. It may return, so nothing of it is removed until a source reports otherwise.
 */
export function emptyRecord(tenant: string): LedgerRecord {
  return { tenant, mayReturn: true, images: [], cacheRecords: [], hours: [] };
}

export function writtenRecord(record: LedgerRecord): string {
  return `${JSON.stringify({ version: VERSION, ...record })}\n`;
}

/**
 * Parses the file of a tenant. The file decides which images may be removed, so a damaged file is rejected completely.
 *
 * @throws Failure `refused` that names the file
 */
export function readRecord(path: string, tenant: string, text: string): LedgerRecord {
  let found: unknown;
  try {
    found = JSON.parse(text);
  } catch (error) {
    throw damaged(path, "it is not JSON", error);
  }
  if (!isTenantId(tenant)) throw damaged(path, "its name is not the ID of a tenant");
  if (!Value.Check(RECORD, found)) {
    const [first] = Value.Errors(RECORD, found);
    throw damaged(path, `${first?.instancePath ?? ""} ${first?.message ?? "is not a record"}`.trim());
  }
  if (found.tenant !== tenant) throw damaged(path, "it belongs to another tenant");
  const { version: _, ...record } = found;
  return record;
}

function damaged(path: string, why: string, cause?: unknown): Failure {
  return new Failure("refused", `${path} is damaged: ${why}`, {
    expected: "a file in the format that the guard writes",
    hint: "Restore it from a backup. Without it, the guard does not know the tenant's images without names: move it away to continue",
    cause,
  });
}
