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

/** The environment of the service. */
export interface ServeDependencies {
  env: NodeJS.ProcessEnv;
  /** Stops the service. */
  signal: AbortSignal;
  /** Prints a line for the operator. */
  printLine: (line: string) => void;
}

/**
 * Runs the service until `signal` is aborted: the API adds jobs to the store, and workers run them. When the service
 * stops, workers accept no more jobs, and the API answers until the running jobs have ended. Rejects with a Failure if
 * the service cannot start.
 */
export async function serve(settings: ServeSettings, { env, signal, printLine }: ServeDependencies): Promise<void> {
  const access = settings.role === "worker" ? undefined : await openAccess(settings);
  const webhookKey = settings.webhookSecretFile && (await readWebhookSecret(settings.webhookSecretFile));
  const tls = settings.tls && (await readTlsFiles(settings.tls));
  await using store = await openStore(settings, { env, warn: printLine });
  const metrics = new Metrics(store);
  using tasks = new Tasks(signal);

  const network = networkOf(settings.fetch.allowedHosts);
  if (webhookKey) {
    const send = webhookSender({ key: webhookKey, network, view: jobView, signal: tasks.signal });
    tasks.add(store.workWebhooks(tasks.signal, send));
  }
  using _ = countEnded(store, metrics, (job) => settings.redis === undefined || isOwnWorker(job.worker));
  if (settings.role !== "api") {
    tasks.add(startWorker({ store, settings, env, signal: tasks.signal, grace: settings.grace, warn: printLine }));
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
      stopping: tasks.signal,
      plugins: [servePage],
      onError: (error) =>
        printLine(`a bug in docker-over-ssh: ${error instanceof Error ? error.stack : String(error)}`),
    });
  await using listening = app && (await listen(app, settings, { onProblem: ({ message }) => printLine(message) }));
  using __ = access && reloadTokens(access, printLine);
  printLine(listening === undefined ? "waiting for jobs" : `listening on ${listening.url}`);
  await tasks.ended;
}

/**
 * The tasks that run until the service stops. If one fails or ends early, the others are stopped. Disposing stops all.
 */
class Tasks implements Disposable {
  readonly signal: AbortSignal;
  readonly #failed = new AbortController();
  readonly #tasks: Promise<unknown>[] = [];

  constructor(signal: AbortSignal) {
    this.signal = AbortSignal.any([signal, this.#failed.signal]);
  }

  add(task: Promise<unknown>): void {
    task.then(
      () => this.signal.aborted || this.#failed.abort(storeLost()),
      (error: unknown) => this.#failed.abort(error),
    );
    this.#tasks.push(task);
  }

  /** Resolves when the service stops and all tasks have ended. Rejects with the failure of a task. */
  get ended(): Promise<void> {
    return (async () => {
      if (!this.signal.aborted) await once(this.signal, "abort");
      await Promise.allSettled(this.#tasks);
      if (this.#failed.signal.aborted) throw this.#failed.signal.reason;
    })();
  }

  [Symbol.dispose](): void {
    this.#failed.abort();
  }
}

/**
 * Returns the failure of a task that ends although nobody stops it. The server cannot continue without its folder;
 * after a restart it may have its jobs back.
 */
function storeLost(): Failure {
  return new Failure("refused", "the server has lost its lock in the data folder, and no longer owns the jobs", {
    expected: "a folder whose server.lock stays while the server runs",
    hint: "Check whether another server uses the folder, or somebody has removed the lock; then start the service again.",
  });
}

/** Reads the tokens again on SIGHUP, until it is disposed of. */
function reloadTokens({ reload }: ReloadableAccess, printLine: (line: string) => void): Disposable | undefined {
  return (
    reload &&
    onHangUp(async () => {
      const count = await reload();
      printLine(`read the tokens again: ${count} tokens`);
    }, printLine)
  );
}
