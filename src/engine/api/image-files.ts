import { removeContainer } from "./containers.ts";
import type { DockerApi } from "./docker-api.ts";
import type { ImageFiles } from "../engine-containers.ts";
import { EngineError } from "../engine-error.ts";

/**
 * The files of an image, by way of a container that is made of it and never started: its root is the image's layers on top of
 * each other. The labels lead the next run to one that a killed run left.
 */
export async function openImageFiles(
  api: DockerApi,
  image: string,
  labels: Record<string, string>,
  signal?: AbortSignal,
): Promise<ImageFiles> {
  signal?.throwIfAborted();
  // Some command must be there, and many images have none.
  const body = { Image: image, Labels: labels, Cmd: ["/"], NetworkDisabled: true };
  const { Id: id } = (await api.json("POST", "/containers/create", {
    effect: "makes",
    patience: "work",
    signal,
    body,
  })) as {
    Id: string;
  };
  return {
    async read(folder) {
      // With the dot, of a link to a folder what is in the folder.
      const path = `${folder.replace(/\/+$/, "")}/.`;
      try {
        return await api.stream("GET", `/containers/${id}/archive`, { query: { path }, signal, patience: "work" });
      } catch (error) {
        const isNone = error instanceof EngineError && (error.status === 404 || error.status === 400);
        if (isNone) return undefined;
        throw error;
      }
    },
    [Symbol.asyncDispose]: async () => await removeContainer(api, id).catch(() => {}), // the next run does it
  };
}
