import { Failure, isNoSpace, messageOf } from "docker-over-ssh/builds";
import { StoreUnavailable } from "../job-store.ts";

/** Converts an error of the file system to an error of the store. */
export function asStoreError(error: unknown, folder: string): unknown {
  if (isNoSpace(error)) {
    return new Failure("no-space", `the disk of ${folder} is full`, {
      expected: "free space for jobs, their bodies and their logs",
      hint: "Free some space there, or keep fewer jobs: --keep-for, --keep-bytes",
      cause: error,
    });
  }
  if (!(error instanceof Error) || !("syscall" in error)) return error;
  return new StoreUnavailable(`${folder} cannot be used: ${messageOf(error)}`, { cause: error });
}
