import type { OptionDefinition } from "./command-definition.ts";
import { parsePlatformOption } from "./option-values.ts";

/** Options that each form of `build` passes on to the builder unchanged. */
export const BUILDER_OPTIONS: readonly OptionDefinition[] = [
  { flags: "--platform <os/arch>", description: "the platform to build for", parse: parsePlatformOption },
  { flags: "--no-cache", description: "use no results of earlier builds" },
  { flags: "--pull", description: "look for newer versions of the base images" },
];
