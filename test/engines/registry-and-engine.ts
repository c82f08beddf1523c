import { connectEngine } from "../../src/engine/open/connect-engine.ts";
import { parseHost } from "../../src/engine/connect/endpoint.ts";
import type { Engine } from "../../src/engine/engine.ts";
import { newRunId } from "../../src/run/run-id.ts";
import type { DryPushOptions } from "../../src/engine-push/dry-push.ts";
import { cacheFolder } from "../../src/files/cache-folder.ts";
import { openEmbeddedRegistry, type EmbeddedRegistry } from "../../src/registry/embedded/server.ts";
import type { Detail } from "../../src/output/details.ts";
import { detailText } from "../../src/output/detail-texts.ts";

const signal = new AbortController().signal;

/** Opens an embedded registry and connects to an engine that can reach it; `details` collects the messages of --verbose. */
export async function openBoth(
  host: string,
): Promise<
  { engine: Engine; registry: EmbeddedRegistry; options: DryPushOptions; details: string[] } & AsyncDisposable
> {
  const runId = newRunId();
  const details: string[] = [];
  const [engine, registry] = [
    await connectEngine(parseHost(host, "-H"), {}),
    openEmbeddedRegistry({ runId, parent: cacheFolder(process.env) }),
  ];
  const options = { registry, runIds: [runId], signal, onDetail: (detail: Detail) => details.push(detailText(detail)) };
  return {
    engine,
    registry,
    options,
    details,
    async [Symbol.asyncDispose]() {
      await registry[Symbol.asyncDispose]();
      await engine[Symbol.asyncDispose]();
    },
  };
}
