import { Type } from "typebox";
import { strictJson } from "../request/strict-json.ts";
import { badRequest } from "../refusal.ts";
import { NO_BODY, type Call, type ReadCall } from "./call.ts";
import { BUILD_QUERY, parseBuild } from "./parse-build.ts";

/** Filters that `docker builder prune` and `docker buildx prune` offer. */
const PRUNE_FILTERS: ReadonlySet<string> = new Set(["until", "id", "parent", "type", "description", "inuse", "shared"]);
/** The values of a filter in the API: a list, or a set as an object. */
const FILTERS = Type.Record(
  Type.String(),
  Type.Union([Type.Array(Type.String()), Type.Record(Type.String(), Type.Literal(true))]),
);

const build: Call = {
  rule: "build",
  method: "POST",
  path: "/build",
  does: "Builds an image with the classic builder (`version=1`) or BuildKit (`version=2`), under the tenant's names, labels and limits.",
  query: BUILD_QUERY,
  body: { kind: "stream" },
  read(request): ReadCall {
    const buildRequest = parseBuild(request);
    return {
      about: buildRequest.names,
      async perform({ caller, backend, body, reply }) {
        const context = buildRequest.remote === undefined && buildRequest.session === undefined ? body : undefined;
        await backend.builds.build(caller, buildRequest, context, (line) => reply.line(line));
      },
    };
  },
};

const prune: Call = {
  rule: "build.prune",
  method: "POST",
  path: "/build/prune",
  does: "Removes the tenant's own records of the build cache.",
  query: {
    all: "once",
    filters: "once",
    // API 1.31 to 1.47; later versions use the other names
    "keep-storage": "once",
    "reserved-space": "once",
    "max-used-space": "once",
    "min-free-space": "once",
  },
  body: NO_BODY,
  read(request): ReadCall {
    const { query } = request;
    const all = query.flag("all");
    const filters = pruneFilters(query.text("filters"));
    const space = ["reserved-space", "keep-storage"].map((key) => query.integer(key)).find((value) => value);
    // These two apply to the whole store, not to the tenant's records.
    for (const key of ["max-used-space", "min-free-space"]) {
      if (query.integer(key))
        throw badRequest("build.prune-space", `${key} applies to the host's disk: use reserved-space`);
    }
    return {
      async perform({ caller, backend, reply }) {
        const { caches, spaceReclaimed } = await backend.builds.prune(caller, { all, keepStorage: space, filters });
        reply.json(200, { CachesDeleted: caches, SpaceReclaimed: spaceReclaimed });
      },
    };
  },
};

const cancel: Call = {
  rule: "build.cancel",
  method: "POST",
  path: "/build/cancel",
  does: "Cancels one of the tenant's builds by its `buildid`.",
  query: { id: "once" },
  body: NO_BODY,
  read(request): ReadCall {
    const id = request.query.text("id") ?? "";
    if (id === "") throw badRequest("query.value", "build ID not provided");
    return {
      async perform({ caller, backend, reply }) {
        await backend.builds.cancel(caller, id);
        reply.empty(200);
      },
    };
  },
};

/** `POST /build`, `/build/prune` and `/build/cancel`. */
export const BUILD_CALLS: readonly Call[] = [build, prune, cancel];

function pruneFilters(given: string | undefined): Record<string, readonly string[]> {
  if (given === undefined || given === "") return {};
  const read = strictJson(given, FILTERS, "filters");
  return Object.fromEntries(
    Object.entries(read).map(([key, values]) => {
      const name = key.endsWith("!") ? key.slice(0, -1) : key;
      if (!PRUNE_FILTERS.has(name))
        throw badRequest("build.prune-filter", `the filter ${JSON.stringify(key)} is unknown to this guard`);
      return [key, Array.isArray(values) ? values : Object.keys(values)];
    }),
  );
}
