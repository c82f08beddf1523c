import { buildCommand } from "./build.ts";
import type { CommandDefinition } from "./options/command-definition.ts";
import { doctorCommand } from "./doctor.ts";
import { guardCommand } from "./guard.ts";
import { listCommand } from "./list.ts";
import { pluginCommand } from "./plugin.ts";
import { pruneCommand } from "./prune.ts";
import { publishCommand } from "./publish.ts";
import { pullCommand } from "./pull.ts";
import { pushCommand } from "./push.ts";
import { serveCommand } from "./serve.ts";
import { setupCommand } from "./setup.ts";

/** The definitions that completion reads: all commands except completion itself. */
export const COMMANDS: readonly Pick<CommandDefinition<object>, "name" | "arguments" | "options">[] = [
  pushCommand,
  pullCommand,
  buildCommand,
  publishCommand,
  setupCommand,
  serveCommand,
  guardCommand,
  doctorCommand,
  listCommand,
  pruneCommand,
  pluginCommand,
];
