import { REGISTRY_SERVICE, type Offer } from "../conversation.ts";
import type { Digest } from "../image/digest.ts";
import { InvalidImage, MAX_CONFIG, parseConfig, type Manifest } from "../image/manifest.ts";
import { Failure } from "../output/errors.ts";
import { RegistryClient } from "../registry/client.ts";
import type { ArrivalOptions } from "./arrival.ts";

/** The sender's image, as its registry describes it. */
export interface OpenedOffer extends Disposable {
  client: RegistryClient;
  manifest: Manifest;
  /** Byte for byte. */
  config: Buffer;
  diffIds: Digest[];
}

/** Reads manifest and config through the tunnel, and sees that they belong together and are what was offered. */
export async function openOffer({ tunnel, about, signal }: ArrivalOptions, offer: Offer): Promise<OpenedOffer> {
  const connect = (): ReturnType<typeof tunnel.connect> => tunnel.connect(REGISTRY_SERVICE);
  const client = new RegistryClient({ connect, credentials: offer.credentials, signal });
  try {
    const manifest = await client.manifest(offer.repository, offer.tag, about.platform);
    const config = await client.blob(offer.repository, manifest.config, MAX_CONFIG);
    const { diffIds } = parseConfig(config);
    if (diffIds.join() !== about.diffIds.join())
      throw new InvalidImage("its config names other layers than were offered");
    if (diffIds.length !== manifest.layers.length)
      throw new InvalidImage("its manifest and its config differ in layers");
    return { client, manifest, config, diffIds, [Symbol.dispose]: () => client[Symbol.dispose]() };
  } catch (error) {
    client[Symbol.dispose]();
    if (!(error instanceof InvalidImage)) throw error;
    throw new Failure("not-verified", `the image that is offered cannot be right: ${error.message}`, {
      expected: "a manifest and a config that belong together",
      hint: "Nothing was loaded. Run the same command again; if it happens again, please report it.",
      cause: error,
    });
  }
}
