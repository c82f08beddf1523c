import { Failure } from "../output/errors.ts";
import { loginCommand } from "../remote/login/login.ts";
import type { Batch, PushRequest, RelayOrder } from "../request.ts";
import type { CommandDefinition } from "./options/command-definition.ts";
import { pushJob } from "./push.ts";
import { findProgram } from "./options/read-words.ts";

/** The remote side of `push --relay`. People do not type it. */
export const relayCommand: CommandDefinition<object> = {
  name: "relay",
  isHidden: true,
  summary: "pass images on to other hosts, on the orders of a push --relay at the other end of stdin and stdout",
  description: "Passes images on to other hosts, on the orders of a push --relay at the other end of stdin and stdout.",
  arguments: [],
  options: [],
  toJob(_words, _options, env) {
    const toBatch = (order: RelayOrder): Batch<PushRequest> => batchOf(order, env);
    return {
      run: async (context) => await (await import("../run-batch/relay/run-relay.ts")).runRelay(toBatch, context),
    };
  },
};

/** Creates the requests from an order. Throws a Failure if this host lacks the login program. */
function batchOf({ images, hosts, options }: RelayOrder, env: NodeJS.ProcessEnv): Batch<PushRequest> {
  const { batch } = pushJob({ images, command: hosts }, options, env);
  for (const { connection } of batch.remotes) {
    const [program = ""] = connection.kind === "host" ? loginCommand(connection, []) : [];
    if (connection.kind === "host" && findProgram(program, env) === undefined) {
      throw new Failure(
        "remote-command-not-found",
        `it has no ${program}, which a login to ${connection.given} needs`,
        {
          expected: `${program} in the PATH of a non-login shell there`,
          hint: `Install ${program} there, or omit --relay: this side then sends the images to each host.`,
        },
      );
    }
  }
  return batch as Batch<PushRequest>;
}
