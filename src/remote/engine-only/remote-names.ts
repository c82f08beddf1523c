import type { ImageName } from "../../image/image-name.ts";
import type { Reference } from "../../image/reference.ts";
import { Failure } from "../../output/errors.ts";
import type { PushRequest } from "../../request.ts";

/** Returns the image to request from the remote side, which is started with its name. */
export function requestedName({ image }: { image?: ImageName | undefined }): ImageName {
  if (image !== undefined) return image;
  throw new Failure("usage", "no IMAGE is named", {
    expected: "the name of an image on the remote side",
    hint: "For instance docker-over-ssh pull app:v2 ssh://HOST.",
  });
}

/** Returns the name of the image on the remote side. Throws a `usage` Failure if neither the request nor the archive has one. */
export function remoteNameOf({ remoteName, source }: PushRequest): Reference {
  if (remoteName !== undefined) return remoteName;
  throw new Failure("usage", `${source.given} does not name the image, and the remote side needs a name for it`, {
    expected: "a name after the path, or --as NAME",
    hint: `For instance ${source.given}:app:v2.`,
  });
}
