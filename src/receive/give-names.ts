import type { About } from "../conversation/messages.ts";
import type { Digest } from "../image/digest.ts";
import type { Reference } from "../image/reference.ts";
import type { NonEmpty } from "../non-empty.ts";
import type { ReceivedImage } from "./received-image.ts";
import type { Target } from "./target.ts";
import { verifyIndex } from "./receive-index.ts";
import { verifyStored } from "./verify-stored.ts";

/** Gives the image its names, and verifies the image again under each of them. Returns the image's ID. */
export async function giveNames(
  target: Target,
  names: NonEmpty<Reference>,
  received: ReceivedImage,
  { diffIds, index }: About,
): Promise<Digest> {
  const [first, ...others] = target.namesFor(names);
  await target.tag(received.name, [first, ...others]);
  if (index !== undefined) {
    for (const name of [first, ...others]) await verifyIndex(target, name, index);
    return index.root.descriptor.digest;
  }
  const id = await verifyStored(target, first, received.id, diffIds);
  for (const name of others) await verifyStored(target, name, id, diffIds);
  return id;
}
