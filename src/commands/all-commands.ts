import { buildCommand } from "./build.ts";
import { buildFromStdinCommand } from "./build-from-stdin.ts";
import { completionCommand } from "./completion.ts";
import type { CommandDefinition } from "./options/command-definition.ts";
import { doctorCommand } from "./doctor.ts";
import { guardCommand } from "./guard.ts";
import { listCommand } from "./list.ts";
import { pluginCommand } from "./plugin.ts";
import { pruneCommand } from "./prune.ts";
import { publishCommand } from "./publish.ts";
import { pullCommand } from "./pull.ts";
import { pushCommand } from "./push.ts";
import { relayCommand } from "./relay.ts";
import { serveCommand } from "./serve.ts";
import { setupCommand } from "./setup.ts";

/** The commands that people type, except completion, which reads this list. */
const COMPLETED: readonly CommandDefinition<object>[] = [
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

/** All commands, in the order of the help. */
export const COMMANDS: readonly CommandDefinition<object>[] = [
  ...COMPLETED,
  completionCommand(COMPLETED),
  relayCommand,
  buildFromStdinCommand,
];
