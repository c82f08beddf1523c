import { StringDecoder } from "node:string_decoder";
import { fromBinary } from "@bufbuild/protobuf";
import { timestampMs, type Timestamp } from "@bufbuild/protobuf/wkt";
import { StatusResponseSchema } from "../buildkit/gen/control_pb.ts";
import type { BuildEvent } from "../engine-builder.ts";

const STDERR = 2n;
/** The maximum number of streams whose output may be cut in the middle of a character. */
const MAX_DECODERS = 1_000;

/** Decodes BuildKit's reports about a build. */
export class BuildTrace {
  readonly #decoders = new Map<string, StringDecoder>();

  /**
   * @param trace a message of the kind `moby.buildkit.trace`: BuildKit's `StatusResponse` in base64
   * @throws Error for any other message
   */
  events(trace: string): BuildEvent[] {
    const { vertexes, statuses, logs, warnings } = fromBinary(StatusResponseSchema, Buffer.from(trace, "base64"));
    return [
      ...vertexes.map((vertex): BuildEvent => ({
        type: "step",
        step: vertex.digest,
        name: vertex.name,
        ...times(vertex),
        ...(vertex.cached && { isCached: true }),
        ...(vertex.error !== "" && { error: vertex.error }),
      })),
      ...statuses.map((status): BuildEvent => ({
        type: "step-progress",
        step: status.vertex,
        id: status.ID,
        current: Number(status.current),
        total: Number(status.total),
        ...times(status),
      })),
      ...logs.map(({ vertex, stream, msg, timestamp }): BuildEvent => ({
        type: "step-log",
        step: vertex,
        stream: stream === STDERR ? "stderr" : "stdout",
        text: this.#decode(`${vertex} ${stream}`, msg),
        ...(timestamp !== undefined && { at: timestampMs(timestamp) }),
      })),
      ...warnings.map(({ short, detail, url }): BuildEvent => ({
        type: "build-warning",
        text: utf8(short),
        details: detail.map(utf8),
        ...(url !== "" && { url }),
      })),
    ];
  }

  #decode(key: string, bytes: Uint8Array): string {
    const decoder = this.#decoders.get(key) ?? new StringDecoder("utf8");
    if (this.#decoders.size < MAX_DECODERS) this.#decoders.set(key, decoder);
    return decoder.write(buffer(bytes));
  }
}

interface Times {
  started?: Timestamp | undefined;
  completed?: Timestamp | undefined;
}

function times({ started, completed }: Times): { started?: number; completed?: number } {
  return {
    ...(started !== undefined && { started: timestampMs(started) }),
    ...(completed !== undefined && { completed: timestampMs(completed) }),
  };
}

function utf8(bytes: Uint8Array): string {
  return buffer(bytes).toString("utf8");
}

function buffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
