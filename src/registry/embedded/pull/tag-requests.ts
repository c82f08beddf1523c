import type { ServerResponse } from "node:http";
import type { RegistryContent } from "./registry-content.ts";
import { DistributionError } from "../http/distribution-error.ts";

/** Answers GET of the list of tags, or of `n` tags after `last` (spec, "Listing Tags"). */
export async function sendTags(
  response: ServerResponse,
  { repository, query }: { repository: string; query: URLSearchParams },
  content: RegistryContent,
): Promise<void> {
  const tags = await content.tags(repository);
  if (tags === undefined) throw new DistributionError(404, "NAME_UNKNOWN", `there is no repository ${repository}`);
  const last = query.get("last");
  const after = tags.toSorted().filter((tag) => last === null || tag > last);
  const page = after.slice(0, readCount(query.get("n")));
  const body = JSON.stringify({ name: repository, tags: page });
  response.writeHead(200, {
    "content-type": "application/json",
    "content-length": Buffer.byteLength(body),
    ...(page.length > 0 &&
      page.length < after.length && {
        link: `</v2/${repository}/tags/list?n=${page.length}&last=${page.at(-1)}>; rel="next"`,
      }),
  });
  response.end(body);
}

function readCount(text: string | null): number | undefined {
  if (text === null) return undefined;
  if (/^[0-9]{1,9}$/.test(text)) return Number(text);
  throw new DistributionError(400, "UNSUPPORTED", "n is not a number");
}
