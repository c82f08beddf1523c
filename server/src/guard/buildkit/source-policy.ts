import { create } from "@bufbuild/protobuf";
import { GUARD_HOST, prefixOf } from "../images/names.ts";
import { partsOf } from "../policy/patterns.ts";
import { ADDRESS } from "../policy/registry-host.ts";
import { PolicySchema, type Policy as SourcePolicy } from "./gen/policy_pb.ts";
import type { ImagePattern, Policy } from "../policy/policy.ts";
import type { OwnBases } from "./own-bases.ts";

/** Actions and matches of BuildKit's source policies. Of several rules that match, the last counts; a conversion counts at once. */
const ALLOW = 0;
const DENY = 1;
const CONVERT = 2;
const REGEX = 2;

const IMAGE = "docker-image://";

/**
 * Returns the source policy of a tenant's build: what it may use as a base or fetch, and the engine's names of its own images. BuildKit applies it to the
 * names in a Dockerfile before it fetches anything; the walk of the steps (walk.ts) decides again.
 */
export function sourcePolicy(tenant: string, { bases, pulls, sources }: Policy, own: OwnBases): SourcePolicy {
  const allow = (pattern: ImagePattern) => rule(ALLOW, `^${escape(IMAGE)}${patternRegex(pattern)}$`);
  const patterns = [...bases, ...pulls];
  const rules = [
    rule(DENY, "."),
    rule(ALLOW, "^local://"),
    ...patterns.filter(hasStarForHost).map(allow),
    // The builder contacts the registry before the steps can be walked. Addresses of host names are not known here.
    rule(DENY, `^${escape(IMAGE)}${ADDRESS}/`),
    ...patterns.filter((pattern) => !hasStarForHost(pattern)).map(allow),
    // Even if every name is allowed (`*`)
    rule(DENY, `^${escape(`${IMAGE}${GUARD_HOST}`)}[:/]`),
    rule(ALLOW, `^${escape(IMAGE + prefixOf(tenant))}`),
    ...sources.flatMap((prefix) => [
      rule(ALLOW, `^${escape(prefix)}${endOf(prefix)}`),
      // A git repository by https is `git://` here.
      rule(ALLOW, `^git://${escape(prefix.replace(/^\w+:\/\//, ""))}${endOf(prefix)}`),
    ]),
    ...[...own.byName.values()].map(({ name, engineName }) => ({
      action: CONVERT,
      // The builder appends the digest when it has resolved the name once.
      selector: { identifier: `^${escape(IMAGE + name)}(@sha256:[0-9a-f]{64})?$`, matchType: REGEX },
      updates: { identifier: `${IMAGE}${engineName}\${1}` },
    })),
  ];
  return create(PolicySchema, { version: 1n, rules });
}

function rule(
  action: number,
  identifier: string,
): { action: number; selector: { identifier: string; matchType: number } } {
  return { action, selector: { identifier, matchType: REGEX } };
}

/** As `checkSource`: `https://example.com` allows no `https://example.com.evil.example/`. */
function endOf(prefix: string): string {
  return prefix.endsWith("/") ? "" : "(?:[/?#]|$)";
}

function hasStarForHost(pattern: ImagePattern): boolean {
  return partsOf(pattern)?.host.includes("*") ?? true;
}

/** As `matchesPattern`, but with any digest after a tag: the builder appends one. The walk checks it. */
function patternRegex(pattern: ImagePattern): string {
  const parts = partsOf(pattern);
  if (parts === undefined) return ".*";
  const { host, path, tag, digest } = parts;
  const tagRegex = tag === undefined ? "(:[^@]*)?" : `:${escape(tag)}`;
  return `${escape(host, "[^/]*")}/${escape(path)}${tagRegex}${digest === undefined ? "(@.*)?" : `@${escape(digest)}`}`;
}

/** For regular expressions of Go. A star stands for any characters. */
function escape(text: string, any = ".*"): string {
  return text.replaceAll(/[.\\+?^${}()|[\]]/g, "\\$&").replaceAll("*", any);
}
