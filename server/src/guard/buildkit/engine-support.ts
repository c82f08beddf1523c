/** The features of an engine's BuildKit. The engine's version decides, because an old engine silently ignores unknown fields. */
export interface EngineSupport {
  /** Whether it obeys source policies (BuildKit 0.11), which map bases and check them before anything is fetched. */
  hasSourcePolicies: boolean;
}

/** The first Docker with a BuildKit that has source policies; 23 has BuildKit 0.10. */
const FIRST_WITH_POLICIES = 24;

/** @param version Docker's, e.g. `28.5.2+dfsg4`. An unreadable version counts as old. */
export function supportOf(version: string): EngineSupport {
  const major = Number(/^(\d+)\./.exec(version)?.[1] ?? 0);
  return { hasSourcePolicies: major >= FIRST_WITH_POLICIES };
}
