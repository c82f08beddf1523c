import { once } from "node:events";
import { Failure } from "docker-over-ssh/builds";
import { openAccess, type ReloadableAccess } from "./access/open-access.ts";
import { createApp } from "./api/app.ts";
import { jobView } from "./api/shapes/job-view.ts";
import { listen } from "./api/http/listen.ts";
import { countEnded } from "./api/metrics/count-ended.ts";
import { Metrics } from "./api/metrics/metrics.ts";
import { readTlsFiles } from "./api/http/tls-files.ts";
import { networkOf } from "./net/network.ts";
import { onHangUp } from "./on-hang-up.ts";
import { servePage } from "./page/serve-page.ts";
import type { ServeSettings } from "./settings.ts";
import { openStore } from "./open-store.ts";
import { readWebhookSecret } from "./webhooks/secret.ts";
import { webhookSender } from "./webhooks/send-webhook.ts";
import { isOwnWorker, startWorker } from "./worker/worker.ts";

/** The surroundings of the service. */
export interface Surroundings {
  env: NodeJS.ProcessEnv;
  /** Stops the service. */
  signal: AbortSignal;
  /** Prints a line for the operator. */
  tell: (line: string) => void;
}

/**
 * Runs the service until `signal` is aborted: the API takes jobs into the store, and workers take them out of it. When it is to stop, workers take no
 * more jobs, and the API answers until those that run have ended. Rejects with a Failure where the service cannot start.
 */
export async function serve(settings: ServeSettings, { env, signal, tell }: Surroundings): Promise<void> {
  const access = settings.role === "worker" ? undefined : await openAccess(settings);
  const webhookKey = settings.webhookSecretFile && (await readWebhookSecret(settings.webhookSecretFile));
  const tls = settings.tls && (await readTlsFiles(settings.tls));
  await using store = await openStore(settings, { env, warn: tell });
  const metrics = new Metrics(store);
  using parts = new Parts(signal);

  const network = networkOf(settings.fetch.allowedHosts);
  if (webhookKey) {
    const send = webhookSender({ key: webhookKey, network, view: jobView, signal: parts.signal });
    parts.add(store.workWebhooks(parts.signal, send));
  }
  using _ = countEnded(store, metrics, (job) => settings.redis === undefined || isOwnWorker(job.worker));
  if (settings.role !== "api") {
    parts.add(startWorker({ store, settings, env, signal: parts.signal, grace: settings.grace, warn: tell }));
  }
  const app =
    access &&
    createApp({
      store,
      access,
      settings,
      metrics,
      tls,
      hasWebhookSecret: Boolean(webhookKey),
      network,
      stopping: parts.signal,
      plugins: [servePage],
      onError: (error) => tell(`a bug in docker-over-ssh: ${error instanceof Error ? error.stack : String(error)}`),
    });
  await using listening = app && (await listen(app, settings, { onProblem: ({ message }) => tell(message) }));
  using __ = access && reloadTokens(access, tell);
  tell(listening === undefined ? "waiting for jobs" : `listening on ${listening.url}`);
  await parts.ended;
}

/** What runs until the service stops. One that fails, or ends before, stops the others. Disposing stops all. */
class Parts implements Disposable {
  readonly signal: AbortSignal;
  readonly #failed = new AbortController();
  readonly #parts: Promise<unknown>[] = [];

  constructor(signal: AbortSignal) {
    this.signal = AbortSignal.any([signal, this.#failed.signal]);
  }

  add(part: Promise<unknown>): void {
    part.then(
      () => this.signal.aborted || this.#failed.abort(storeLost()),
      (error: unknown) => this.#failed.abort(error),
    );
    this.#parts.push(part);
  }

  /** Resolves when the service is to stop and all parts have ended. Rejects with the failure of one. */
  get ended(): Promise<void> {
    return (async () => {
      if (!this.signal.aborted) await once(this.signal, "abort");
      await Promise.allSettled(this.#parts);
      if (this.#failed.signal.aborted) throw this.#failed.signal.reason;
    })();
  }

  [Symbol.dispose](): void {
    this.#failed.abort();
  }
}

/** Of a part that has ended although nobody has stopped it. It is no use to answer on: started again, the service may have its jobs back. */
function storeLost(): Failure {
  return new Failure("refused", "the jobs are not this server's any more: its lock in the data folder is gone", {
    expected: "a folder whose server.lock stays while the server runs",
    hint: "See whether another server uses the folder, or somebody has removed the lock; then start the service again.",
  });
}

/** Reads the tokens again on SIGHUP. Disposing ends that. */
function reloadTokens({ reload }: ReloadableAccess, tell: (line: string) => void): Disposable | undefined {
  return (
    reload &&
    onHangUp(async () => {
      const count = await reload();
      tell(`tokens were read again: there are ${count}`);
    }, tell)
  );
}
