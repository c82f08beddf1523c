import { Failure, isNoSpace, messageOf } from "docker-over-ssh/builds";
import { StoreUnavailable } from "../job-store.ts";

/** Returns the error of a store for one of the file system. */
export function asStoreError(error: unknown, folder: string): unknown {
  if (isNoSpace(error)) {
    return new Failure("no-space", `the disk of ${folder} is full`, {
      expected: "room for jobs, their bodies and their logs",
      hint: "Make room there, or keep less: --keep-for, --keep-bytes",
      cause: error,
    });
  }
  if (!(error instanceof Error) || !("syscall" in error)) return error;
  return new StoreUnavailable(`${folder} cannot be used: ${messageOf(error)}`, { cause: error });
}
