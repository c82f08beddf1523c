import type { BuildContext } from "../../../build-context/build-context.ts";
import { shownPath } from "../../../build-context/paths.ts";
import { messageOf } from "../../../output/errors.ts";
import type { RawCall } from "../../grpc/grpc-server.ts";
import { selectEntries } from "./select-entries.ts";
import { sendFiles } from "./send-files.ts";

/** gRPC's statuses */
const STATUS = { ok: 0, notFound: 5, internal: 13 };

export interface FileSyncOptions {
  onServed: (bytes: number) => void;
  onFailed: (error: unknown) => void;
}

/**
 * Answers the calls with which BuildKit reads a context (moby/buildkit, `session/filesync`). Each call names a folder, `context` or
 * `dockerfile`. Both lead to the same context.
 */
export function fileSync(context: BuildContext, { onServed, onFailed }: FileSyncOptions): RawCall {
  return async ({ stream, headers }) => {
    const values = decoded(headers);
    const [name = ""] = values("dir-name");
    if (name !== "context" && name !== "dockerfile")
      return { status: STATUS.notFound, message: `there is no folder ${name}` };
    try {
      const entries = selectEntries(context.entries, {
        followPaths: values("followpaths"),
        includes: values("include-patterns"),
        excludes: values("exclude-patterns"),
      });
      await sendFiles(stream, entries, context, onServed);
      return { status: STATUS.ok };
    } catch (error) {
      onFailed(error);
      return { status: STATUS.internal, message: messageOf(error) };
    }
  };
}

/** Returns a function that returns the values of a header. Since 0.12, BuildKit escapes non-ASCII characters. */
function decoded(headers: readonly (readonly [string, string])[]): (name: string) => string[] {
  const valuesOf = (name: string): string[] => headers.flatMap(([key, value]) => (key === name ? [value] : []));
  return (name) => {
    const values = valuesOf(name);
    const bytes = valuesOf(`${name}-encoded`)[0] === "1" ? values.map(unescaped) : values;
    return bytes.map(shownPath); // Node decodes headers as latin1
  };
}

/** Undoes Go's `url.QueryEscape`. */
function unescaped(text: string): string {
  const bytes = (hex: string): string => String.fromCharCode(Number.parseInt(hex, 16));
  return text.replaceAll("+", " ").replaceAll(/%([\da-f]{2})/gi, (_, hex: string) => bytes(hex));
}
