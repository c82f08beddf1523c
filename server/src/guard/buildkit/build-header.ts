import { checkId } from "./ids.ts";

/** The header by which the gateway finds the build */
const BUILD = "buildkit-controlapi-buildid";

export function buildHeader(engineRef: string): Record<string, string> {
  return { [BUILD]: engineRef };
}

/** Reads the tenant's ref of the build that a gateway call is about. */
export function buildOf(headers: Headers): string {
  return checkId(headers.get(BUILD) ?? "", "build");
}
