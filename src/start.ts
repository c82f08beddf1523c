import { readFileSync } from "node:fs";
import { join } from "node:path";
import { runCommand, tuneGarbageCollection } from "./load-command.ts";

/** Name of the file that holds the whole command. The build names it by the hash of its content. */
declare const COMMAND_FILE: string;

/** Runs the command of this installation; bin/ calls this. */
tuneGarbageCollection();
const path = join(__dirname, COMMAND_FILE);
void runCommand({ text: readFileSync(path, "latin1"), path, name: COMMAND_FILE }, process.argv);
