import { checkId } from "./ids.ts";

/** The header in which a gateway call names its build */
const BUILD_ID_HEADER = "buildkit-controlapi-buildid";

export function buildHeader(engineRef: string): Record<string, string> {
  return { [BUILD_ID_HEADER]: engineRef };
}

/** Returns the tenant's ref of the build that a gateway call names. */
export function buildOf(headers: Headers): string {
  return checkId(headers.get(BUILD_ID_HEADER) ?? "", "build");
}
