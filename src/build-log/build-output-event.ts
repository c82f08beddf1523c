import type { BuildEvent } from "../engine/engine-builder.ts";
import type { BuildOutputEvent } from "../output/build-events.ts";

/** Converts an event of an engine's builder into the event that is shown to people. */
export function buildOutputEvent(event: BuildEvent): BuildOutputEvent {
  switch (event.type) {
    case "step":
      return { ...event, type: "build-step" };
    case "step-progress":
      return { ...event, type: "build-progress" };
    case "step-log":
      return { ...event, type: "build-log" };
    case "build-warning":
    case "build-text":
      return event;
  }
}
