import type { FastifyBaseLogger, FastifyInstance, RawServerDefault } from "fastify";
import type { TypeBoxTypeProvider } from "@fastify/type-provider-typebox";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Access } from "../../access/client.ts";
import type { Network } from "../../net/network.ts";
import type { ServeSettings } from "../../settings.ts";
import type { JobStore } from "../../store/job-store.ts";
import type { Metrics } from "../metrics/metrics.ts";

/** The settings and services that routes use. */
export interface AppContext {
  store: JobStore;
  access: Access;
  settings: Pick<ServeSettings, "upload" | "maxQueued">;
  /** Whether webhooks can be signed. Without a secret, requests that ask for a webhook are rejected. */
  hasWebhookSecret: boolean;
  metrics: Metrics;
  /**
   * The rules for addresses of archives and webhooks. IP addresses that it refuses are rejected in requests. If
   * undefined, addresses are checked only when they are used.
   */
  network?: Network | undefined;
  /** Aborted when the service stops. The API then accepts no builds, but still reports running ones. */
  stopping?: AbortSignal | undefined;
}

/** An app whose routes infer their types from their schemas */
export type TypedApp = FastifyInstance<
  RawServerDefault,
  IncomingMessage,
  ServerResponse,
  FastifyBaseLogger,
  TypeBoxTypeProvider
>;
