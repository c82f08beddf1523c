import { EventParser, type ServerEvent } from "./event-parser.ts";

/** Server-sent events over fetch: EventSource cannot send a header with a token. */
export interface ReadOptions {
  /** Opens the stream after an event. An error with `isFinal` ends the reading. */
  open: (lastId: string, signal: AbortSignal) => Promise<Response>;
  /** Called with the events of each chunk; returns whether the stream is over. */
  onEvents: (events: readonly ServerEvent[]) => boolean;
  /** Called when the stream is connected, and when the connection is lost. */
  onLink?: ((isConnected: boolean) => void) | undefined;
  signal: AbortSignal;
}

/** ms of silence after which the connection counts as lost; the server sends comments more often. */
const SILENCE = 60_000;
const WAITS = [300, 1_000, 2_000, 5_000, 10_000];

/** Reads events until `onEvents` returns true, and reconnects whenever the connection is lost. */
export async function readEvents({ open, onEvents, onLink, signal }: ReadOptions): Promise<void> {
  const parser = { last: "", retry: 0 };
  for (let failures = 0; ;) {
    const connection = new AbortController();
    let isTaking = false;
    const either = AbortSignal.any([signal, connection.signal]);
    try {
      const response = await open(parser.last, either);
      onLink?.(true);
      if (response.status === 204) return; // the stream is complete
      for await (const { events, fresh } of pieces(response, parser.last, connection)) {
        failures = 0;
        [parser.last, parser.retry] = [fresh.lastId, fresh.retry ?? 0];
        isTaking = true;
        if (onEvents(events)) return;
        isTaking = false;
      }
    } catch (error) {
      // An error of `onEvents` would occur again after a reconnection.
      if (isTaking) reportError(error);
      if (signal.aborted || isTaking || isFinal(error)) throw error;
    } finally {
      connection.abort();
    }
    onLink?.(false);
    await waitToRetry(Math.max(parser.retry, WAITS[Math.min(failures, WAITS.length - 1)] ?? 0), signal);
    failures += 1;
  }
}

async function* pieces(
  { body }: Response,
  lastId: string,
  connection: AbortController,
): AsyncGenerator<{ events: ServerEvent[]; fresh: EventParser }> {
  if (body === null) return;
  const fresh = new EventParser();
  fresh.lastId = lastId;
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  for (;;) {
    const silence = setTimeout(() => connection.abort(), SILENCE);
    const { done, value } = await reader.read().finally(() => clearTimeout(silence));
    if (done) return;
    yield { events: fresh.push(value), fresh };
  }
}

function isFinal(error: unknown): boolean {
  return error instanceof Error && "isFinal" in error && error.isFinal === true;
}

/** Waits some ms, or until the network comes back. */
async function waitToRetry(ms: number, signal: AbortSignal): Promise<void> {
  await new Promise<void>((resolve) => {
    const timer = setTimeout(end, ms * (1 + Math.random() / 4));
    function end(): void {
      clearTimeout(timer);
      removeEventListener("online", end);
      signal.removeEventListener("abort", end);
      resolve();
    }
    addEventListener("online", end);
    signal.addEventListener("abort", end);
  });
  signal.throwIfAborted();
}
