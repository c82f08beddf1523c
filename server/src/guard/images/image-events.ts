import type { Readable } from "node:stream";
import { familiarName, tryReference } from "docker-over-ssh/builds";
import type { ApiObject, EventFilter } from "../backend.ts";
import type { Caller } from "../caller.ts";
import { Refusal } from "../refusal.ts";
import { imagesInLedger } from "../ledger/ledger-images.ts";
import { TENANT_LABEL } from "./reserved.ts";
import { labelTest } from "./image-filters.ts";
import { objectOf, pick, textOf, type Json } from "./json.ts";
import { tenantName } from "./names.ts";
import type { ViewDependencies } from "./view-images.ts";

/** Maximum characters of an event, which contains the labels of its image */
const MAX_EVENT = 4 * 1024 * 1024;
/** Filters by kinds of objects for which a tenant gets no events */
const OTHER_KINDS = new Set([
  "container",
  "volume",
  "network",
  "plugin",
  "daemon",
  "service",
  "node",
  "secret",
  "config",
]);

/**
 * Serves `GET /events`, limited to the tenant's images. The image's ID, label or name decides to whom an event belongs. An event with somebody else's name is
 * omitted. Ends when the caller's signal aborts, or at `until`.
 */
export async function* imageEvents(
  dependencies: ViewDependencies,
  caller: Caller,
  filter: EventFilter,
): AsyncGenerator<ApiObject> {
  const { tenant, apiVersion, signal } = caller;
  const isWanted = eventTest(filter.filters);
  const query: [string, string][] = [["filters", JSON.stringify({ type: ["image"] })], ...times(filter)];
  // Requested before the list of images, so that no event is missed.
  const { body } = await dependencies.engine.request({ method: "GET", path: "/events", query, apiVersion, signal });
  try {
    const ids = new Set(imagesInLedger(dependencies.ledger, tenant.id).keys());
    for (const { id } of await dependencies.own.list(tenant.id, signal)) ids.add(id);
    for await (const line of linesOf(body)) {
      const event = ownEvent(tenant.id, objectOf(JSON.parse(line)), ids);
      if (event !== undefined && isWanted(event)) yield event;
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  } finally {
    body.destroy();
  }
}

function times({ since, until }: EventFilter): [string, string][] {
  return Object.entries({ since, until }).filter((entry): entry is [string, string] => entry[1] !== undefined);
}

/** Returns the part of an event that the tenant may see, or undefined for an event of others. Adds the image's ID to `ids`, the tenant's IDs. */
function ownEvent(tenant: string, raw: Json, ids: Set<string>): ApiObject | undefined {
  const actor = objectOf(raw["Actor"]);
  const { name: given, ...labels } = objectOf(actor["Attributes"]);
  const [id, name] = [textOf(actor["ID"]), textOf(given)];
  const own = tenantName(tenant, name);
  const isOwn = ids.has(id) || own !== undefined || labels[TENANT_LABEL] === tenant;
  if (raw["Type"] !== "image" || !isOwn || (own === undefined && name !== id && name !== "")) return undefined;
  const shownId = id.startsWith("sha256:") ? id : tenantName(tenant, id);
  if (shownId === undefined) return undefined;
  if (shownId === id) ids.add(id);
  return {
    ...pick(raw, ["Type", "Action", "scope", "time", "timeNano", "status"]),
    ...("id" in raw && { id: shownId }),
    Actor: { ID: shownId, Attributes: { ...labels, name: own ?? shownId } },
  };
}

/** Returns the test of `--filter`. One value of each key must match, and all labels. */
function eventTest(filters: EventFilter["filters"]): (event: ApiObject) => boolean {
  const { event: actions, image: images, type: types, label: labels = [], scope, ...others } = filters;
  const unknown = Object.keys(others).find((key) => !OTHER_KINDS.has(key));
  if (unknown !== undefined)
    throw new Refusal(
      "events.filter",
      `events cannot be filtered by "${unknown}" here, only by event, image, label and type`,
      {
        statusCode: 400,
      },
    );
  const hasLabels = labelTest(labels);
  const isNever = Object.keys(others).length > 0 || (scope !== undefined && !scope.includes("local"));
  const isNeverImage = types !== undefined && !types.includes("image");
  return ({ Action, Actor }) => {
    if (isNever || isNeverImage) return false;
    const { ID, Attributes } = objectOf(Actor);
    if (actions !== undefined && !actions.includes(textOf(Action))) return false;
    const names = [textOf(ID), textOf(objectOf(Attributes)["name"])];
    if (images !== undefined && !names.some((name) => images.includes(name) || images.includes(withoutTag(name))))
      return false;
    return hasLabels(objectOf(Attributes));
  };
}

function withoutTag(name: string): string {
  const reference = tryReference(name);
  return reference === undefined ? name : familiarName(reference);
}

async function* linesOf(body: Readable): AsyncGenerator<string> {
  body.setEncoding("utf8");
  let rest = "";
  for await (const chunk of body as AsyncIterable<string>) {
    const lines = `${rest}${chunk}`.split("\n");
    rest = lines.pop() ?? "";
    if (rest.length > MAX_EVENT)
      throw new Refusal("events.size", "the engine has sent an event that is too long", { statusCode: 502 });
    for (const line of lines) if (line.trim() !== "") yield line;
  }
}
