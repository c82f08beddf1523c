import { Type } from "typebox";
import { formatPlatform } from "docker-over-ssh/builds";
import { Refusal } from "../refusal.ts";
import type { StrictQuery } from "../request/query.ts";
import { strictObject } from "../request/strict-json.ts";

const PART = Type.Optional(Type.String({ pattern: "^[a-zA-Z0-9_.-]*$", maxLength: 64 }));
/** An OCI platform in JSON */
const PLATFORM = strictObject({
  architecture: PART,
  os: PART,
  "os.version": PART,
  "os.features": Type.Optional(Type.Array(Type.String())),
  variant: PART,
});

/**
 * Parses `platform`, which is JSON since API 1.46. Returns it as `os/architecture[/variant]`. Throws a Refusal 400
 * `platform.invalid`, or as `strictJson`.
 */
export function readPlatform(query: StrictQuery): string | undefined {
  const found = query.json("platform", PLATFORM);
  if (found === undefined) return undefined;
  const { os, architecture, variant } = found;
  if (!os || !architecture) {
    throw new Refusal("platform.invalid", "platform must have os and architecture", { statusCode: 400 });
  }
  return formatPlatform({ os, architecture, ...(variant && { variant }) });
}
