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
  summary: "pass images on to other hosts, as a push --relay at the other end of stdin and stdout says",
  description: "Passes images on to other hosts, as a push --relay at the other end of stdin and stdout says.",
  arguments: [],
  options: [],
  toJob(_words, _options, env) {
    const toBatch = (order: RelayOrder): Batch<PushRequest> => batchOf(order, env);
    return {
      run: async (context) => await (await import("../run-batch/relay/run-relay.ts")).runRelay(toBatch, context),
    };
  },
};

/** Makes the requests of an order. Throws a Failure where this host lacks the program that logs in. */
function batchOf({ images, hosts, options }: RelayOrder, env: NodeJS.ProcessEnv): Batch<PushRequest> {
  const { batch } = pushJob({ images, command: hosts }, options, env);
  for (const { connection } of batch.remotes) {
    const [program = ""] = connection.kind === "host" ? loginCommand(connection, []) : [];
    if (connection.kind === "host" && findProgram(program, env) === undefined) {
      throw new Failure("remote-command-not-found", `it has no ${program}, and ${connection.given} is reached by it`, {
        expected: `${program} in the PATH of a shell there that is not a login shell`,
        hint: `Install ${program} there, or leave --relay out: then each host gets the images from here.`,
      });
    }
  }
  return batch as Batch<PushRequest>;
}
