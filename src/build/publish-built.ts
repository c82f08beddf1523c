import type { BuildEvent, EngineBuilder, PublishOptions } from "../engine/engine-builder.ts";
import { messageOf } from "../output/errors.ts";

/** A published name, and the digest of its manifest in the registry, if the engine reports it. */
export interface PublishedName {
  name: string;
  digest?: string | undefined;
}

/** Publishes an image under each of its names. Each name is a step of the log. Rejects like `publish` of the engine. */
export async function publishBuilt(
  engine: Pick<EngineBuilder, "publish">,
  names: readonly string[],
  { onEvent, ...options }: PublishOptions & { onEvent: (event: BuildEvent) => void },
): Promise<PublishedName[]> {
  const published: PublishedName[] = [];
  for (const name of names) {
    const begun = { type: "step", step: `push ${name}`, name: `pushing ${name}`, started: Date.now() } as const;
    onEvent(begun);
    try {
      published.push({ name, ...(await engine.publish(name, options)) });
    } catch (error) {
      onEvent({ ...begun, completed: Date.now(), error: messageOf(error) });
      throw error;
    }
    onEvent({ ...begun, completed: Date.now() });
  }
  return published;
}
