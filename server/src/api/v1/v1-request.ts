import type { Client } from "../../access/client.ts";
import { readOrder, type ReadOrder } from "../builds/order.ts";
import { ProblemError } from "../http/problem.ts";

/** tutum-builder's words for a request in which something is missing */
const INSUFFICIENT = "Insufficient Information.  Must provide at least an Image Name and a Dockerfile/Tarurl.";

const FIELDS = ["image_name", "username", "password", "email", "dockerfile", "tarurl"] as const;
type Field = (typeof FIELDS)[number];

/**
 * Reads the JSON of tutum-builder's `POST /api/v1/build`, as its parser did: letters of names may be of either case, what is empty is not there, and
 * unknown fields are left alone.
 *
 * @param hasArchive whether there is a `TarFile`; undefined: it may follow
 * @throws ProblemError
 */
export function readV1Order(value: unknown, client: Client, hasArchive: boolean | undefined): ReadOrder {
  const fields = readFields(value);
  const { image_name: name, username, password, dockerfile, tarurl } = fields;
  if (name === undefined) throw insufficient();
  const sources = [dockerfile !== undefined, tarurl !== undefined, hasArchive === true].filter(Boolean).length;
  if (sources === 0 && hasArchive === false) throw insufficient();
  if (sources > 1) throw new ProblemError(400, "invalid", "Only one of dockerfile, tarUrl and TarFile may be given.");
  const hasCredentials = username !== undefined || password !== undefined;
  return readOrder(
    {
      name,
      ...(dockerfile !== undefined && { dockerfile }),
      ...(tarurl !== undefined && { archiveUrl: tarurl }),
      ...(hasCredentials && { credentials: { username: username ?? "", password: password ?? "" } }),
      push: true,
      purge: true,
    },
    { client, hasArchive, hasWebhookSecret: false, network: undefined },
  );
}

function insufficient(): ProblemError {
  return new ProblemError(400, "invalid", INSUFFICIENT);
}

function readFields(value: unknown): { [name in Field]?: string } {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new ProblemError(400, "invalid", "The JSON is not an object.");
  }
  const found: { [name in Field]?: string } = {};
  for (const [given, content] of Object.entries(value)) {
    const name = FIELDS.find((field) => field === given.toLowerCase());
    if (name === undefined || content === null || content === "") continue;
    if (typeof content !== "string") throw new ProblemError(400, "invalid", `${given} is not a string.`);
    found[name] = content;
  }
  return found;
}
