import { isDeepStrictEqual } from "node:util";
import type { TenantEndpoint } from "../tenant.ts";
import type { TenantChanges } from "./tenant-source.ts";

/** The present pods: with an endpoint, or undefined for a pod that may get one later. */
export type PodsNow = ReadonlyMap<string, TenantEndpoint | undefined>;

/** Compares the present pods with those reported before, and reports the difference. A removed pod does not return. */
export class PodChanges {
  readonly #changes: TenantChanges;
  readonly #problems = new Map<string, string>();
  #reported: PodsNow = new Map();

  constructor(changes: TenantChanges) {
    this.#changes = changes;
  }

  update(now: PodsNow): void {
    const before = this.#reported;
    this.#reported = now;
    for (const [uid, endpoint] of before) {
      if (!now.has(uid)) this.#changes.onWent(uid, true);
      else if (endpoint !== undefined && now.get(uid) === undefined) this.#changes.onWent(uid, false);
      if (!now.has(uid)) this.#problems.delete(uid);
    }
    for (const [uid, endpoint] of now) {
      if (endpoint !== undefined && !isDeepStrictEqual(endpoint, before.get(uid))) this.#changes.onCame(endpoint);
    }
  }

  /** Reports a problem of a pod, once. */
  problem(uid: string, problem: string): void {
    if (this.#problems.get(uid) === problem) return;
    this.#problems.set(uid, problem);
    this.#changes.onProblem(problem);
  }
}
