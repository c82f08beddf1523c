import type { PushOptions } from "../backend.ts";
import type { Caller } from "../caller.ts";
import type { Reference } from "docker-over-ssh/builds";
import type { OwnImage } from "./own-images.ts";

/** Pushes images of tenants to registries. */
export interface ImagePusher {
  /**
   * Pushes an image to the registry of the tenant's `reference`, which has a tag.
   *
   * @throws Refusal for a push that the policy or the quotas do not allow
   */
  push(caller: Caller, image: OwnImage, reference: Reference, options: PushOptions): Promise<void>;
}
