import { delayAbort } from "../../streams/delay-abort.ts";
import type { EngineEndpoint } from "../connect/endpoint.ts";
import { connectionFailure } from "./errors.ts";
import type { ApiRequest } from "./request.ts";

/** The time in ms that a change may take after its signal was aborted, and the time limit of a removal. */
const GRACE = 15_000;

/**
 * Returns the signal that ends a request. The request's effect decides when an abort ends it ({@link ApiRequest.effect}).
 *
 * @param signal the signal of the engine
 */
export function stopSignal(
  { effect, signal: own }: ApiRequest,
  signal: AbortSignal | undefined,
  endpoint: EngineEndpoint,
): AbortSignal {
  if (effect === "removes") {
    const late = connectionFailure(new Error(`no answer within ${GRACE / 1000} s`), endpoint);
    return delayAbort(AbortSignal.abort(late), GRACE);
  }
  // An interrupted load can block the next one until the engine restarts (moby #51623).
  if (effect === "completes") return new AbortController().signal;
  const stop = AbortSignal.any([signal, own].filter((each) => each !== undefined));
  return effect === "creates" && !stop.aborted ? delayAbort(stop, GRACE) : stop;
}
