import type { LocalFiles } from "../build-context/local-files.ts";
import type { Platform } from "../image/platform.ts";
import type { Reference } from "../image/reference.ts";

/** A build by a build service, parsed from the command line. */
export interface PublishRequest {
  name: Reference;
  files: LocalFiles;
  order: PublishOrder;
  /** --server. Default: BUILD_HOST and BUILD_PORT */
  server: string | undefined;
  /** --token-file. Default: BUILD_AUTH */
  tokenFile: string | undefined;
  credentials: CredentialsChoice;
  /** Print the ID of the accepted build on stdout, and do not wait for the build's end. */
  isDetached: boolean;
  /** The ID is printed as text, not in an event. */
  printsId: boolean;
  /** A person can be asked whether to cancel. */
  mayPrompt: boolean;
  /** ms for an answer of the server. Default: 60 s */
  timeout: number | undefined;
}

/** The build that the service is to run. */
export interface PublishOrder {
  /** The path of the Dockerfile in the context */
  dockerfile: string;
  target: string | undefined;
  buildArgs: Readonly<Record<string, string>>;
  labels: Readonly<Record<string, string>>;
  platform: Platform | undefined;
  noCache: boolean;
  pull: boolean;
  /** Push the image to the registry in its name */
  push: boolean;
  /** Remove the image from the server's engine at the end */
  purge: boolean;
}

/** Whether the user's credentials for the registry are sent. auto: if nobody else can read them */
export const CREDENTIALS_CHOICES = ["auto", "always", "never"] as const;
export type CredentialsChoice = (typeof CREDENTIALS_CHOICES)[number];
