import { Failure } from "../output/errors.ts";
import type { CommandDefinition } from "./options/command-definition.ts";
import { PUBLISH_OPTIONS, type PublishOptionValues } from "./options/publish-options.ts";

export const publishCommand: CommandDefinition<PublishOptionValues> = {
  name: "publish",
  summary: "build and push an image with a build service",
  description:
    "Sends CONTEXT to a build service (docker-over-ssh serve, docs/serve.md), which builds the image and pushes it to the registry in NAME, and shows the log. The exit status is that of the build. Ctrl-C asks whether to cancel the build or to leave it running; without a terminal, it cancels the build.",
  arguments: [
    { term: "<NAME>", description: "name of the image, with the host of its registry unless that is Docker Hub" },
    {
      term: "[CONTEXT]",
      description: "a folder (default: the current one), or - for an archive on stdin",
    },
  ],
  options: PUBLISH_OPTIONS,
  async toJob([name = "", context = ".", ...others], options, env) {
    if (others.length > 0) {
      throw new Failure("usage", `${others.length + 2} words follow publish`, {
        expected: "NAME, followed by CONTEXT",
        hint: "docker-over-ssh publish team/app:v2 .",
      });
    }
    // Imported here, because it loads node:crypto.
    const { readPublishRequest } = await import("./options/read-publish.ts");
    const request = readPublishRequest(name, context, options, env);
    return {
      buildProgress: "plain",
      printsOnStdout: request.printsId,
      stopText: "stopping; press Ctrl-C again to end at once and leave the build running",
      run: async (ownContext) => await (await import("../publish/publish.ts")).publish(request, ownContext),
    };
  },
};
