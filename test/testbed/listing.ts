import { askEngine } from "./engine-api.ts";

/** The sorted content of an engine. The listings before and after a test are equal if nothing has been left behind. */
export interface Listing {
  containers: { id: string; name: string; image: string; labels: Record<string, string> }[];
  volumes: string[];
  /** `repository:tag` and `repository@digest`. */
  references: string[];
  /** The IDs of all images, including those without a name. */
  images: string[];
}

interface ApiContainer {
  Id: string;
  Names: string[];
  Image: string;
  Labels: Record<string, string> | null;
}
interface ApiImage {
  Id: string;
  RepoTags: string[] | null;
  RepoDigests: string[] | null;
}

export async function listEngine(socket: string): Promise<Listing> {
  const ask = async (path: string) => JSON.parse(await askEngine(socket, path)) as unknown;
  const [containers, volumes, images] = (await Promise.all([
    ask("/containers/json?all=1"),
    ask("/volumes"),
    ask("/images/json"),
  ])) as [ApiContainer[], { Volumes: { Name: string }[] | null }, ApiImage[]];
  const references = images.flatMap((image) => [...(image.RepoTags ?? []), ...(image.RepoDigests ?? [])]);
  return {
    containers: containers
      .map(({ Id, Names, Image, Labels }) => ({
        id: Id,
        name: Names[0]?.replace("/", "") ?? "",
        image: Image,
        labels: Labels ?? {},
      }))
      .toSorted((a, b) => (a.id < b.id ? -1 : 1)),
    volumes: (volumes.Volumes ?? []).map(({ Name }) => Name).toSorted(),
    references: references.filter((reference) => !reference.startsWith("<none>")).toSorted(),
    images: images.map(({ Id }) => Id).toSorted(),
  };
}
