/** For programs that move images without the command line. */
export type { PushRequest, TransferRequest } from "./request.ts";
export { push } from "./push.ts";
export { pull } from "./pull.ts";
export type { Context } from "./transfer.ts";
export type { Output, Progress } from "./output/output.ts";
export { EXIT_STATUS, Failure, type FailureCode } from "./output/errors.ts";
