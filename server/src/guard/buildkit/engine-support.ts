/** What the BuildKit of an engine supports. Decided by the engine's version, because an old one silently ignores unknown fields. */
export interface EngineSupport {
  /** Whether it obeys source policies (BuildKit 0.11), so that bases are mapped, and checked before anything is fetched. */
  hasSourcePolicies: boolean;
}

/** The first Docker with a BuildKit that has source policies; 23 has BuildKit 0.10. */
const FIRST_WITH_POLICIES = 24;

/** @param version Docker's, e.g. `28.5.2+dfsg4`. One that cannot be read counts as old. */
export function supportOf(version: string): EngineSupport {
  const major = Number(/^(\d+)\./.exec(version)?.[1] ?? 0);
  return { hasSourcePolicies: major >= FIRST_WITH_POLICIES };
}
