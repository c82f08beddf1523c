import { text } from "node:stream/consumers";
import type { Exit } from "../../child-process/exit.ts";
import { startProgram } from "../../child-process/start-program.ts";
import type { NonEmpty } from "../../non-empty.ts";
import { Failure } from "../../output/errors.ts";
import { atLeastOne } from "./image-list.ts";

/** ms between SIGTERM and SIGKILL */
const KILL_TIMEOUT = 1000;

/** A compose project. A service without an image gets a name from the project, as in compose. */
interface Project {
  name?: string;
  services?: Record<string, { image?: string; build?: unknown }>;
}

/** Returns the images of a compose file's services. Throws a `usage` Failure if compose cannot read the file or is not installed. */
export async function readComposeImages(file: string, onlyBuilt: boolean): Promise<NonEmpty<string>> {
  const { name = "", services = {} } = parseProject(await runCompose(file), file);
  const chosen = Object.entries(services).filter(([, { build }]) => !onlyBuilt || build !== undefined);
  const images = chosen.map(([service, { image }]) => image ?? `${name}-${service}`);
  return atLeastOne(images, onlyBuilt ? `--compose ${file} --built` : `--compose ${file}`);
}

async function runCompose(file: string): Promise<string> {
  const argv = ["compose", "--file", file, "config", "--format", "json"];
  const program = startProgram("docker", argv, { killTimeout: KILL_TIMEOUT });
  program.stdin.on("error", () => {}).end();
  const [json, words, exit] = await Promise.all([text(program.stdout), text(program.stderr), program.exit]);
  if (exit.status === 0) return json;
  throw composeFailed(file, words.trim(), exit);
}

function composeFailed(file: string, words: string, { error }: Exit): Failure {
  const isMissing =
    error !== undefined || /is not a docker command|unknown shorthand flag|unknown flag: --file/.test(words);
  if (!isMissing) {
    return new Failure("usage", `\`docker compose\` cannot read ${file}: ${words}`, {
      expected: "a compose file",
      hint: `Try docker compose --file ${file} config`,
    });
  }
  return new Failure("usage", "--compose needs `docker compose`, which is not installed", {
    expected: "Docker Compose 2, as a plugin of the docker command",
    hint: "Install it (docs.docker.com/compose/install), or name the images: --images-from FILE.",
    cause: error,
  });
}

function parseProject(json: string, file: string): Project {
  try {
    return JSON.parse(json) as Project;
  } catch (error) {
    throw new Failure("usage", `\`docker compose config\` has printed no JSON for ${file}`, {
      expected: "Docker Compose 2.3 or later",
      hint: "Update it, or name the images: --images-from FILE.",
      cause: error,
    });
  }
}
