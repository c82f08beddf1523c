import type { StrictHeaders } from "./headers.ts";
import type { StrictQuery } from "./query.ts";

export type Method = "GET" | "HEAD" | "POST" | "DELETE";

/** A parsed request. It contains nothing that its call does not know. */
export interface StrictRequest {
  readonly method: Method;
  /** e.g. `1.51`; undefined: unversioned */
  readonly apiVersion: string | undefined;
  /** Without the version, e.g. `/images/app:v1/json` */
  readonly path: string;
  /** The named parts of the path, e.g. `{ name: "app:v1" }` */
  readonly parameters: Readonly<Record<string, string>>;
  readonly query: StrictQuery;
  readonly headers: StrictHeaders;
}
