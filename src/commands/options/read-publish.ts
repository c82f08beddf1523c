import type { LocalFiles } from "../../build-context/local-files.ts";
import { taggableName } from "../../image/reference.ts";
import { Failure } from "../../output/errors.ts";
import type { PublishRequest } from "../../publish/publish-request.ts";
import type { PublishOptionValues } from "./publish-options.ts";
import { dockerfileIn, GIT_ADDRESS, readBuildArgs } from "./read-build.ts";
import { readReference } from "./read-names.ts";

/** Creates a request from the command line of a build by a service. Throws a `usage` or `not-buildable` Failure. */
export function readPublishRequest(
  givenName: string,
  givenContext: string,
  options: PublishOptionValues,
  env: NodeJS.ProcessEnv,
): PublishRequest {
  const name = readReference(givenName);
  if (taggableName(name) === undefined) {
    throw new Failure("usage", `${givenName} has a digest, which only the build can determine`, {
      expected: "NAME[:TAG]",
      hint: "For instance team/app:v2.",
    });
  }
  const files = readFiles(givenContext, options);
  const { detach: isDetached = false, json = false, push: isPushed = true } = options;
  return {
    name,
    files,
    order: {
      dockerfile: dockerfileIn(files, options.file),
      target: options.target,
      buildArgs: readBuildArgs(options.buildArg ?? [], env),
      labels: Object.fromEntries((options.label ?? []).map(([label, value = ""]) => [label, value])),
      platform: options.platform,
      noCache: options.cache === false,
      pull: options.pull ?? false,
      push: isPushed,
      purge: isPushed && options.keepImage !== true, // an image that is not pushed stays in the service's engine
    },
    server: options.server,
    tokenFile: options.tokenFile,
    credentials: options.registryCredentials ?? "auto",
    isDetached,
    printsId: isDetached && !json,
    mayPrompt: options.mayPrompt ?? false,
    timeout: options.timeout,
  };
}

function readFiles(given: string, { gitignore = true, strip }: PublishOptionValues): LocalFiles {
  if (given === "-") return { kind: "stdin", strip };
  if (!GIT_ADDRESS.test(given)) return { kind: "folder", path: given, gitignore };
  throw new Failure("usage", `${given} is an address, but publish sends files of this side`, {
    expected: "a folder, or - for an archive on stdin",
    hint: "git archive HEAD | docker-over-ssh publish NAME -",
  });
}
