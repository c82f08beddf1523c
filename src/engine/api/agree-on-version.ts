import { isAtLeast } from "./compare-versions.ts";
import { notAnEngine } from "./errors.ts";
import type { DockerApi } from "./docker-api.ts";

/** What this code was written against: Docker 28.5's, and 29.7 speaks it, too (1.40 to 1.56). */
const NEWEST = "1.51";
/** Docker 20.10's, and the one that Podman declares. */
const OLDEST = "1.41";

/**
 * Agrees on the version to speak, as the docker CLI does: the engine names its newest in the `Api-Version` header of
 * `GET /_ping`, whatever the status, and the lower one of both sides is used.
 *
 * @throws Failure `engine-unreachable`, also when something else answers, or an engine that is too old.
 */
export async function agreeOnVersion(api: DockerApi): Promise<string> {
  const { status, headers, body } = await api.raw("GET", "/_ping");
  let words = "";
  for await (const chunk of body) words = (words + chunk.toString("utf8")).slice(0, 200);
  const offered = headers["api-version"];
  if (typeof offered !== "string" || !/^\d+\.\d+$/.test(offered)) {
    throw notAnEngine(
      api.endpoint,
      `GET /_ping gives HTTP status ${status} and no API version${status === 200 ? "" : `: ${words.trim()}`}`,
    );
  }
  if (!isAtLeast(offered, OLDEST)) throw notAnEngine(api.endpoint, `it speaks API version ${offered}`);
  api.offered = offered;
  return isAtLeast(offered, NEWEST) ? NEWEST : offered;
}
