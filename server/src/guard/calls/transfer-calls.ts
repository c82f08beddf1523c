import { familiarName, type Reference } from "docker-over-ssh/builds";
import type { Caller } from "../caller.ts";
import type { BackendImages } from "../backend.ts";
import { parseTenantName } from "../images/names.ts";
import { Refusal, noSuchImage } from "../refusal.ts";
import { readRegistryAuth } from "../request/registry-auth.ts";
import { NO_BODY, type Call } from "./call.ts";
import { checkedName, nameOf } from "./image-calls.ts";
import { readPlatform } from "./read-platform.ts";

const PUSH: Call = {
  rule: "image.push",
  method: "POST",
  path: "/images/{name}/push",
  does: "Pushes the tenant's own images to registries that its policy allows.",
  query: { tag: "once", platform: "once" },
  body: NO_BODY,
  read(request) {
    const wanted = parseTenantName(request.parameters["name"] ?? "");
    const given = wantedTag(wanted, request.query.text("tag") ?? "");
    const repository = familiarName(wanted);
    const credentials = readRegistryAuth(request.headers.get("x-registry-auth"));
    const platform = readPlatform(request.query);
    return {
      about: [given === undefined ? repository : `${repository}:${given}`],
      async perform({ caller, backend: { images }, reply }) {
        const references = given === undefined ? await allTags(images, caller, repository) : [`${repository}:${given}`];
        for (const reference of references) {
          await images.push(caller, reference, { credentials, platform, onLine: (line) => reply.line(line) });
        }
      },
    };
  },
};

const SAVE_ONE: Call = {
  rule: "image.save",
  method: "GET",
  path: "/images/{name}/get",
  does: "Sends one of the tenant's own images as an archive.",
  query: { platform: "once" },
  body: NO_BODY,
  read(request) {
    return save([nameOf(request)], readPlatform(request.query));
  },
};

const SAVE: Call = {
  rule: "image.save",
  method: "GET",
  path: "/images/get",
  does: "Sends some of the tenant's own images as an archive.",
  query: { names: "repeated", platform: "once" },
  body: NO_BODY,
  read({ query }) {
    const names = query.all("names").map((name) => checkedName(name));
    if (names.length === 0) throw new Refusal("query.value", "names must name an image", { statusCode: 400 });
    return save(names, readPlatform(query));
  },
};

export const TRANSFER_CALLS: readonly Call[] = [PUSH, SAVE, SAVE_ONE];

function save(names: readonly string[], platform: string | undefined): ReturnType<Call["read"]> {
  return {
    about: names,
    async perform({ caller, backend, reply }) {
      await reply.stream("application/x-tar", await backend.images.save(caller, names, { platform }));
    },
  };
}

/** Returns the tag to push. Undefined: all tags of a name without a tag (`docker push --all-tags`). */
function wantedTag(name: Reference, tag: string): string | undefined {
  const hasTag = /:[^/:]+$/.test(name.given);
  if (name.digest !== undefined || tag.includes(":")) {
    throw new Refusal("name.invalid", "cannot push a digest reference", { statusCode: 400 });
  }
  if (tag === "") return hasTag ? name.tag : undefined;
  parseTenantName(`${familiarName(name)}:${tag}`);
  return tag;
}

async function allTags(images: BackendImages, caller: Caller, repository: string): Promise<string[]> {
  const found = await images.list(caller, {
    all: false,
    digests: false,
    references: [repository],
    labels: [],
    before: [],
    since: [],
    until: [],
  });
  const tags = found
    .flatMap((image) => (Array.isArray(image["RepoTags"]) ? (image["RepoTags"] as unknown[]) : []))
    .filter((tag): tag is string => typeof tag === "string" && tag.startsWith(`${repository}:`));
  if (tags.length === 0) throw noSuchImage(repository);
  return tags;
}
