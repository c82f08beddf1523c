import { isAtLeast } from "../compare-versions.ts";
import { notAnEngine } from "./errors.ts";
import type { DockerApi } from "./docker-api.ts";

/** The newest version of Docker 28.5. 29.7 supports 1.40 to 1.56. */
const NEWEST = "1.51";
/** The newest version of Docker 20.10, which Podman also reports. */
const OLDEST = "1.41";

/**
 * Agrees on the API version, as the docker CLI does: the engine sends its newest version in the `Api-Version` header of `GET /_ping`, with
 * any status, and the lower of both sides' newest versions is used.
 *
 * @throws Failure `engine-unreachable`, also if the engine is too old or the server is not an engine
 */
export async function agreeOnVersion(api: DockerApi): Promise<string> {
  const { status, headers, body } = await api.raw("GET", "/_ping");
  let words = "";
  for await (const chunk of body) words = (words + chunk.toString("utf8")).slice(0, 200);
  const offered = headers["api-version"];
  if (typeof offered !== "string" || !/^\d+\.\d+$/.test(offered)) {
    throw notAnEngine(
      api.endpoint,
      `GET /_ping returns HTTP status ${status} and no API version${status === 200 ? "" : `: ${words.trim()}`}`,
    );
  }
  if (!isAtLeast(offered, OLDEST)) throw notAnEngine(api.endpoint, `it supports only API version ${offered}`);
  api.offered = offered;
  return isAtLeast(offered, NEWEST) ? NEWEST : offered;
}
