import type { Client } from "../../access/client.ts";
import type { Network } from "../../net/network.ts";
import { readOrder, unusable, type ReadOrder } from "../builds/order.ts";
import { ProblemError } from "../http/problem.ts";

/** tutum-builder's message for a request that lacks something */
const INSUFFICIENT = "Insufficient Information.  Must provide at least an Image Name and a Dockerfile/Tarurl.";

const FIELDS = ["image_name", "username", "password", "email", "dockerfile", "tarurl"] as const;
type Field = (typeof FIELDS)[number];

export interface V1Context {
  client: Client;
  /** Whether the form contains a `TarFile`; undefined: it may follow */
  hasArchive: boolean | undefined;
  network: Network | undefined;
}

/**
 * Parses the JSON of tutum-builder's `POST /api/v1/build`, as its parser did: names are case-insensitive, empty values
 * count as missing, and unknown fields are ignored.
 *
 * @throws ProblemError, which names fields as tutum-builder did
 */
export function readV1Order(value: unknown, { client, hasArchive, network }: V1Context): ReadOrder {
  const fields = readFields(value);
  const { image_name: name, username, password, dockerfile, tarurl } = fields;
  if (name === undefined) throw insufficient();
  const sources = [dockerfile !== undefined, tarurl !== undefined, hasArchive === true].filter(Boolean).length;
  if (sources === 0 && hasArchive === false) throw insufficient();
  if (sources > 1) throw new ProblemError(400, "invalid", "Only one of dockerfile, tarUrl and TarFile may be given.");
  const hasCredentials = username !== undefined || password !== undefined;
  return inV1Words(() =>
    readOrder(
      {
        name,
        ...(dockerfile !== undefined && { dockerfile }),
        ...(tarurl !== undefined && { archiveUrl: tarurl }),
        ...(hasCredentials && { credentials: { username: username ?? "", password: password ?? "" } }),
        push: true,
        purge: true,
      },
      { client, hasArchive, hasWebhookSecret: false, network },
    ),
  );
}

/** Maps names of version 2's fields, as validated, to those of version 1. */
const NAMES: Readonly<Record<string, string>> = { name: "image_name", archiveUrl: "tarUrl" };

function inV1Words(read: () => ReadOrder): ReadOrder {
  try {
    return read();
  } catch (error) {
    const errors = error instanceof ProblemError ? error.text.errors : undefined;
    if (errors === undefined) throw error;
    throw unusable(errors.map(({ field, message }) => ({ field: NAMES[field] ?? field, message })));
  }
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
