import { removeContainer } from "./containers.ts";
import type { DockerApi } from "./docker-api.ts";
import type { ImageFiles } from "../engine-containers.ts";
import { EngineError } from "../engine-error.ts";

/**
 * Opens the files of an image: creates a container from it, which is never started and whose root contains the files of all layers. The
 * labels let the next run find the container of a killed run.
 */
export async function openImageFiles(
  api: DockerApi,
  image: string,
  labels: Record<string, string>,
  signal?: AbortSignal,
): Promise<ImageFiles> {
  signal?.throwIfAborted();
  // A command is required, and many images have none.
  const body = { Image: image, Labels: labels, Cmd: ["/"], NetworkDisabled: true };
  const { Id: id } = (await api.json("POST", "/containers/create", {
    effect: "creates",
    timeout: "work",
    signal,
    body,
  })) as {
    Id: string;
  };
  return {
    async read(folder) {
      // The dot makes the engine follow a link to a folder.
      const path = `${folder.replace(/\/+$/, "")}/.`;
      try {
        return await api.stream("GET", `/containers/${id}/archive`, { query: { path }, signal, timeout: "work" });
      } catch (error) {
        const isNone = error instanceof EngineError && (error.status === 404 || error.status === 400);
        if (isNone) return undefined;
        throw error;
      }
    },
    [Symbol.asyncDispose]: async () => await removeContainer(api, id).catch(() => {}), // the next run removes it
  };
}
