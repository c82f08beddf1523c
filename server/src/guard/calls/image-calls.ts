import { Refusal } from "../refusal.ts";
import { parseTenantName } from "../images/names.ts";
import type { StrictRequest } from "../request/strict-request.ts";
import { NO_BODY, type Call } from "./call.ts";
import { readFilters } from "./read-filters.ts";
import { readPlatform } from "./read-platform.ts";

const LIST: Call = {
  rule: "image.list",
  method: "GET",
  path: "/images/json",
  does: "Lists the tenant's own images.",
  // `manifests`, `shared-size` and `identity` request more properties, which the guard omits. docker-py sends
  // `only_ids`, which no engine reads.
  query: {
    only_ids: "once",
    all: "once",
    digests: "once",
    filters: "once",
    manifests: "once",
    "shared-size": "once",
    identity: "once",
  },
  body: NO_BODY,
  read({ query }) {
    const filters = readFilters(query, ["reference", "dangling", "label", "before", "since", "until"]);
    const filter = {
      all: query.flag("all"),
      digests: query.flag("digests"),
      references: filters.reference,
      dangling: oneFlag(filters.dangling),
      labels: filters.label,
      before: filters.before,
      since: filters.since,
      until: filters.until,
    };
    return {
      async perform({ caller, backend, reply }) {
        reply.json(200, await backend.images.list(caller, filter));
      },
    };
  },
};

const INSPECT: Call = {
  rule: "image.inspect",
  method: "GET",
  path: "/images/{name}/json",
  does: "Returns the properties of one of the tenant's own images.",
  query: { platform: "once", manifests: "once", size: "once" },
  body: NO_BODY,
  read(request) {
    const name = nameOf(request);
    const options = { platform: readPlatform(request.query), manifests: request.query.flag("manifests") };
    return {
      about: [name],
      async perform({ caller, backend, reply }) {
        reply.json(200, await backend.images.inspect(caller, name, options));
      },
    };
  },
};

const HISTORY: Call = {
  rule: "image.history",
  method: "GET",
  path: "/images/{name}/history",
  does: "Returns the history of one of the tenant's own images.",
  query: { platform: "once" },
  body: NO_BODY,
  read(request) {
    const name = nameOf(request);
    const options = { platform: readPlatform(request.query) };
    return {
      about: [name],
      async perform({ caller, backend, reply }) {
        reply.json(200, await backend.images.history(caller, name, options));
      },
    };
  },
};

const TAG: Call = {
  rule: "image.tag",
  method: "POST",
  path: "/images/{name}/tag",
  does: "Adds a name to one of the tenant's own images, which no other tenant sees.",
  // `force` was removed in API 1.24; old clients still send it.
  query: { repo: "once", tag: "once", force: "once" },
  body: NO_BODY,
  read(request) {
    const name = nameOf(request);
    const target = taggedName(request.query.text("repo") ?? "", request.query.text("tag") ?? "");
    return {
      about: [name, target],
      async perform({ caller, backend, reply }) {
        await backend.images.tag(caller, name, target);
        reply.empty(201);
      },
    };
  },
};

const REMOVE: Call = {
  rule: "image.remove",
  method: "DELETE",
  path: "/images/{name}",
  does: "Removes one of the tenant's own images, or one of its names.",
  query: { force: "once", noprune: "once" },
  body: NO_BODY,
  read(request) {
    const name = nameOf(request);
    const options = { force: request.query.flag("force"), noPrune: request.query.flag("noprune") };
    return {
      about: [name],
      async perform({ caller, backend, reply }) {
        reply.json(200, await backend.images.remove(caller, name, options));
      },
    };
  },
};

export const IMAGE_CALLS: readonly Call[] = [LIST, INSPECT, HISTORY, TAG, REMOVE];

/** Returns the image in a path: a name, an ID, or the beginning of one. Throws a Refusal for other text. */
export function nameOf({ parameters }: StrictRequest): string {
  return checkedName(parameters["name"] ?? "");
}

/**
 * IDs bypass the parser of references, which accepts neither a digest alone nor 64 hexadecimal digits, which are
 * reserved for IDs.
 */
export function checkedName(name: string): string {
  if (/^(?:sha256:)?[0-9a-f]{1,64}$/.test(name)) return name;
  parseTenantName(name);
  return name;
}

/** Combines a repository and a tag. Default tag: `latest` */
function taggedName(repository: string, tag: string): string {
  const { digest } = parseTenantName(repository);
  const hasTag = /:[^/:]+$/.test(repository);
  if (digest !== undefined || tag.includes(":")) {
    throw new Refusal("name.invalid", "refusing to create a tag with a digest reference", { statusCode: 400 });
  }
  const name = tag === "" ? repository : `${hasTag ? repository.replace(/:[^/:]+$/, "") : repository}:${tag}`;
  const parsed = parseTenantName(name);
  return parsed.tag === undefined ? `${name}:latest` : name;
}

function oneFlag(values: readonly string[]): boolean | undefined {
  if (values.length === 0) return undefined;
  const [value = ""] = values;
  const flags: Record<string, boolean> = { true: true, "1": true, false: false, "0": false };
  const flag = Object.hasOwn(flags, value) ? flags[value] : undefined;
  if (values.length > 1 || flag === undefined) {
    throw new Refusal("filter.value", "the filter dangling must be true or false", { statusCode: 400 });
  }
  return flag;
}
