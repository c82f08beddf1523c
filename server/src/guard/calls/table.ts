import { BUILD_CALLS } from "./build-calls.ts";
import { BUILDKIT_CALLS } from "./buildkit-calls.ts";
import type { Call } from "./call.ts";
import { IMAGE_CALLS } from "./image-calls.ts";
import { LOGIN } from "./login-call.ts";
import { pathShape } from "./path-shape.ts";
import { SYSTEM_CALLS } from "./system-calls.ts";
import { TRANSFER_CALLS } from "./transfer-calls.ts";

/** All allowed calls, in the order in which their paths are matched. */
export const CALLS: readonly Call[] = [
  ...SYSTEM_CALLS,
  LOGIN,
  ...BUILD_CALLS,
  ...BUILDKIT_CALLS,
  ...TRANSFER_CALLS,
  ...IMAGE_CALLS,
];

const ROWS = CALLS.map((call) => ({ call, shape: pathShape(call.path) }));

/** Finds the call of a request; undefined: it is not allowed. */
export function findCall(
  method: string,
  path: string,
): { call: Call; parameters: Readonly<Record<string, string>> } | undefined {
  for (const { call, shape } of ROWS) {
    const parameters = call.method === method ? shape.match(path) : undefined;
    if (parameters !== undefined) return { call, parameters };
  }
  return undefined;
}
