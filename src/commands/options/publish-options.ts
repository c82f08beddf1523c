import type { Platform } from "../../image/platform.ts";
import { CREDENTIALS_CHOICES, type CredentialsChoice } from "../../publish/publish-request.ts";
import { BUILD_OPTIONS, type Pair } from "./build-options.ts";
import type { OptionDefinition } from "./command-definition.ts";
import { parseSeconds } from "./option-values.ts";

/** Values of the options of `publish`. */
export interface PublishOptionValues {
  server?: string | undefined;
  tokenFile?: string | undefined;
  file?: string | undefined;
  target?: string | undefined;
  buildArg?: readonly Pair[] | undefined;
  label?: readonly Pair[] | undefined;
  platform?: Platform | undefined;
  /** False for --no-cache */
  cache?: boolean | undefined;
  pull?: boolean | undefined;
  /** False for --no-gitignore */
  gitignore?: boolean | undefined;
  strip?: number | undefined;
  /** False for --no-push */
  push?: boolean | undefined;
  keepImage?: boolean | undefined;
  registryCredentials?: CredentialsChoice | undefined;
  detach?: boolean | undefined;
  /** ms */
  timeout?: number | undefined;
  json?: boolean | undefined;
  mayPrompt?: boolean | undefined;
}

/** Options of a build on a host that a build by a service also has. */
const OF_BUILD = /--(?:file|target|build-arg|label|platform|no-cache|pull|no-gitignore|strip)\b/;

export const PUBLISH_OPTIONS: readonly OptionDefinition[] = [
  {
    flags: "--server <url>",
    description:
      "the build service: http://HOST:PORT, https://HOST or unix:PATH; by default, BUILD_HOST and BUILD_PORT in the environment",
  },
  {
    flags: "--token-file <file>",
    description: "a file with the token for the build service; by default BUILD_AUTH in the environment",
  },
  ...BUILD_OPTIONS.filter(({ flags }) => OF_BUILD.test(flags)),
  {
    flags: "--no-push",
    description: "do not push the image: it stays in the engine of the build service",
  },
  { flags: "--keep-image", description: "keep the image in the engine of the build service after the push" },
  {
    flags: "--registry-credentials <when>",
    description:
      "whether the service gets your credentials for the registry in NAME, from the docker config: auto (over https, a socket or to this machine; the default), always or never",
    choices: CREDENTIALS_CHOICES,
  },
  {
    flags: "-d, --detach",
    description: "print the ID of the build on stdout when the service has accepted it, and do not wait for its end",
  },
  {
    flags: "--timeout <seconds>",
    description: "treat the connection to the build service as lost after this time of silence (default: 60)",
    parse: parseSeconds,
  },
];
