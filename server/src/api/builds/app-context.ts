import type { FastifyBaseLogger, FastifyInstance, RawServerDefault } from "fastify";
import type { TypeBoxTypeProvider } from "@fastify/type-provider-typebox";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Access } from "../../access/client.ts";
import type { Network } from "../../net/network.ts";
import type { ServeSettings } from "../../settings.ts";
import type { JobStore } from "../../store/job-store.ts";
import type { Metrics } from "../metrics/metrics.ts";

/** What routes work with. */
export interface AppContext {
  store: JobStore;
  access: Access;
  settings: Pick<ServeSettings, "upload" | "maxQueued">;
  /** Whether webhooks can be signed: without a secret, requests that ask for one are refused. */
  hasWebhookSecret: boolean;
  metrics: Metrics;
  /** Where archives come from, and webhooks go: IP addresses that it refuses are refused in requests. Left out: they are when they are used. */
  network?: Network | undefined;
  /** Aborted when the service stops: from then on no build is accepted. Running ones are still told of. */
  stopping?: AbortSignal | undefined;
}

/** An app whose routes get the types of their schemas */
export type TypedApp = FastifyInstance<
  RawServerDefault,
  IncomingMessage,
  ServerResponse,
  FastifyBaseLogger,
  TypeBoxTypeProvider
>;
