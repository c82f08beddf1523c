import { create } from "@bufbuild/protobuf";
import { GUARD_HOST, prefixOf } from "../images/names.ts";
import { partsOf } from "../policy/patterns.ts";
import { ADDRESS } from "../policy/registry-host.ts";
import { PolicySchema, type Policy as SourcePolicy } from "./gen/policy_pb.ts";
import type { ImagePattern, Policy } from "../policy/policy.ts";
import type { OwnBases } from "./own-bases.ts";

/** Actions and match types of BuildKit's source policies. If several rules match, the last one decides; a conversion applies at once. */
const ALLOW = 0;
const DENY = 1;
const CONVERT = 2;
const REGEX = 2;

const IMAGE = "docker-image://";

/**
 * Returns the source policy of a tenant's build. It lists the bases and addresses that the build may use, and maps the tenant's own images to their names on
 * the engine. BuildKit applies it to the names in a Dockerfile before it fetches anything. The check of the steps (check-steps.ts) does so again.
 */
export function sourcePolicy(tenant: string, { bases, pulls, sources }: Policy, own: OwnBases): SourcePolicy {
  const allow = (pattern: ImagePattern) => rule(ALLOW, `^${escape(IMAGE)}${patternRegex(pattern)}$`);
  const patterns = [...bases, ...pulls];
  const rules = [
    rule(DENY, "."),
    rule(ALLOW, "^local://"),
    ...patterns.filter(hasStarForHost).map(allow),
    // The builder contacts the registry before the guard can check the steps. This rule cannot know the addresses of host names.
    rule(DENY, `^${escape(IMAGE)}${ADDRESS}/`),
    ...patterns.filter((pattern) => !hasStarForHost(pattern)).map(allow),
    // Applies even if every name is allowed (`*`).
    rule(DENY, `^${escape(`${IMAGE}${GUARD_HOST}`)}[:/]`),
    rule(ALLOW, `^${escape(IMAGE + prefixOf(tenant))}`),
    ...sources.flatMap((prefix) => [
      rule(ALLOW, `^${escape(prefix)}${endOf(prefix)}`),
      // BuildKit names a git repository with an https address `git://`.
      rule(ALLOW, `^git://${escape(prefix.replace(/^\w+:\/\//, ""))}${endOf(prefix)}`),
    ]),
    ...[...own.byName.values()].map(({ name, engineName }) => ({
      action: CONVERT,
      // The builder appends the digest after it has resolved the name.
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

/** Ends a prefix as `checkSource` does: `https://example.com` does not allow `https://example.com.evil.example/`. */
function endOf(prefix: string): string {
  return prefix.endsWith("/") ? "" : "(?:[/?#]|$)";
}

function hasStarForHost(pattern: ImagePattern): boolean {
  return partsOf(pattern)?.host.includes("*") ?? true;
}

/** Matches like `matchesPattern`, but with any digest after a tag, because the builder appends one. The check of the steps checks it. */
function patternRegex(pattern: ImagePattern): string {
  const parts = partsOf(pattern);
  if (parts === undefined) return ".*";
  const { host, path, tag, digest } = parts;
  const tagRegex = tag === undefined ? "(:[^@]*)?" : `:${escape(tag)}`;
  return `${escape(host, "[^/]*")}/${escape(path)}${tagRegex}${digest === undefined ? "(@.*)?" : `@${escape(digest)}`}`;
}

/** Escapes a text for Go's regular expressions. A star matches any characters. */
function escape(text: string, any = ".*"): string {
  return text.replaceAll(/[.\\+?^${}()|[\]]/g, "\\$&").replaceAll("*", any);
}
