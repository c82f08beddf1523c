/** For programs that move images without the command line. */
export { push, type PushRequest } from "./push.ts";
export { pull } from "./pull.ts";
export type { Context, TransferRequest } from "./transfer.ts";
export type { Output, Progress } from "./output/output.ts";
export { EXIT_STATUS, Failure, type FailureCode } from "./output/errors.ts";
