import type { HostConnection } from "../../request.ts";
import { isLeftover, isRunId } from "../../run/run-id.ts";
import type { Context } from "../../transfer.ts";
import { engineNotCleaned, notRemoved } from "./setup-errors.ts";
import { setupLines, startSetup } from "./setup-link.ts";
import { uninstallWords, type Removal } from "./uninstall-script.ts";

/**
 * Removes from a host the files of setup and all leftovers of transfers: files, containers, volumes and images. Keeps those that a running
 * transfer uses. Throws a Failure if something else cannot be removed.
 */
export async function uninstall(connection: HostConnection, context: Context): Promise<void> {
  const { isClean } = await removeOnHost(connection, "uninstall", context);
  if (isClean) context.output.note({ code: "uninstalled", host: connection.given });
}

/** Removes only the leftovers of transfers, or reports them in a dry run. Throws a Failure if something cannot be removed. */
export async function pruneHost(connection: HostConnection, isDryRun: boolean, context: Context): Promise<void> {
  const { freed } = await removeOnHost(connection, isDryRun ? "dry-run" : "prune", context);
  context.output.note({ code: "pruned", bytes: freed, isDryRun });
}

async function removeOnHost(
  connection: HostConnection,
  removal: Removal,
  context: Context,
): Promise<{ isClean: boolean; freed: number }> {
  const { output } = context;
  let isClean = true;
  let freed = 0;
  let engine: string | undefined;
  const stuck: string[] = [];
  await using link = startSetup(connection, uninstallWords(connection, undefined, removal), context);
  for await (const line of setupLines(link, context)) {
    switch (line.kind) {
      case "step":
        output.note({ code: "setup-step", step: line.step });
        if (line.step.did === "left") isClean = false;
        if (line.step.did === "left" && line.step.reason === "not-removable") stuck.push(line.step.name);
        break;
      case "ask": {
        // The transfers may belong to this machine.
        const isOver = line.runIds.every(isRunId) && isLeftover(line.runIds);
        link.child.stdin.write(isOver ? "over\n" : "no\n");
        break;
      }
      case "freed":
        freed += line.bytes;
        break;
      case "no-engine":
        engine = line.program;
        break;
    }
  }
  if (stuck.length > 0) throw notRemoved(connection, stuck);
  if (engine !== undefined) throw engineNotCleaned(connection, engine);
  return { isClean, freed };
}
