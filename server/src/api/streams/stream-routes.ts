import type { FastifyInstance } from "fastify";
import type { JobStore } from "../../store/job-store.ts";
import type { Client } from "../../access/client.ts";
import { Shares, tooMany } from "../http/client-shares.ts";
import { eventRoutes } from "./events.ts";
import { jobView } from "../shapes/job-view.ts";
import { logRoutes } from "./logs.ts";
import type { Metrics } from "../metrics/metrics.ts";
import { JobFeed } from "./job-feed.ts";
import { STREAM_SETTINGS, type StreamSettings } from "./stream-settings.ts";

export interface StreamRouteOptions {
  store: Pick<JobStore, "get" | "readLog" | "watch">;
  metrics: Pick<Metrics, "reader">;
  streams?: Partial<StreamSettings> | undefined;
}

/**
 * Adds the routes of logs and events, which share their reads. All readers end when the app closes, before it waits for
 * requests. This needs a hook of the app, because hooks of plugins run later.
 */
export function addStreams(app: FastifyInstance, { store, metrics, streams }: StreamRouteOptions): void {
  const settings = { ...STREAM_SETTINGS, ...streams };
  const feed = new JobFeed(store, settings);
  app.addHook("preClose", async () => feed[Symbol.dispose]());
  const open = new Shares();
  const countReader = (stream: "log" | "jobs", { name }: Client): Disposable => {
    const share = open.of(name);
    if (!share.grow(1, settings.perClient)) throw tooMany(`more than ${settings.perClient} streams open`);
    const counted = metrics.reader(stream);
    return {
      [Symbol.dispose]() {
        counted[Symbol.dispose]();
        share[Symbol.dispose]();
      },
    };
  };
  const shared = { feed, settings, countReader, view: jobView };
  app.register(logRoutes({ store, ...shared }));
  app.register(eventRoutes(shared));
}
