import { outputTo, type Output } from "../output/output.ts";
import { SIGN_OF_LIFE } from "./watch-client.ts";

/** An output that prints at regular intervals. */
export interface OutputWithSignsOfLife extends Disposable {
  output: Output;
}

/** Passes events on. While there are none, reports every 15 s that the build continues, so that a disconnected client is noticed. */
export function withSignsOfLife(inner: Output, every: number = SIGN_OF_LIFE): OutputWithSignsOfLife {
  const started = performance.now();
  const report = (): void =>
    inner.note({ code: "build-goes-on", seconds: Math.round((performance.now() - started) / 1000) });
  const timer = setInterval(report, every);
  const output = outputTo((event) => {
    timer.refresh();
    inner.event(event);
  });
  return { output, [Symbol.dispose]: () => clearInterval(timer) };
}
