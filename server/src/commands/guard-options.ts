import { InvalidValue } from "docker-over-ssh/builds";
import { TERMS, type Terms } from "../guard/config/terms.ts";
import { parseListedTenant } from "../guard/config/tenant-option.ts";
import type { GuardSettings, ListedTenant } from "../guard/settings.ts";
import type { CommandText, OptionDefinition } from "./option.ts";
import { parseListen } from "./serve-options.ts";

/** Values of the options of `guard`. Sizes are bytes, times ms. */
export interface GuardOptions extends Terms {
  host?: string | undefined;
  mode?: GuardSettings["mode"] | undefined;
  bindLocal?: string | undefined;
  tenant?: readonly ListedTenant[] | undefined;
  config?: string | undefined;
  kubernetes?: boolean | undefined;
  kubeletDir?: string | undefined;
  kubeletVolume?: string | undefined;
  data?: string | undefined;
  audit?: string | undefined;
  metrics?: { host: string; port: number } | undefined;
  dryRun?: boolean | undefined;
}

const OPTIONS: readonly OptionDefinition[] = [
  { flags: "-H, --host <address>", description: "the engine (default: as for the docker command)" },
  {
    flags: "--mode <mode>",
    description:
      "passthrough: use the host's engine; buildah, or imagebuilder: use no engine, but a storage for each tenant (default: passthrough)",
    parse: parseMode,
  },
  {
    flags: "--bind-local <folder>",
    description:
      "to try it out: serve the tenant local at docker.sock in this folder; it may use any image as a base if neither --allow-base nor --allow-pull is given",
  },
  {
    flags: "--tenant <tenant>",
    description:
      "name=NAME,socket=PATH, and any of the options from --allow-base on, e.g. memory=2g,allow-base=alpine, or label=KEY=VALUE; may be repeated",
    parse: parseListedTenant,
    repeats: true,
  },
  { flags: "--config <file>", description: "tenants as JSON; read again on SIGHUP" },
  {
    flags: "--kubernetes",
    description: "serve the engine's pods that mount an emptyDir at /var/run/docker",
  },
  {
    flags: "--kubelet-dir <folder>",
    description:
      "serve pods of any container runtime, found in the kubelet's folder, e.g. /var/lib/kubelet; with --kubernetes, only sets the path of that folder",
  },
  {
    flags: "--kubelet-volume <name>",
    description: "with --kubelet-dir: the emptyDir that gets the socket (default: docker-socket)",
  },
  {
    flags: "--data <folder>",
    description:
      "where the records of tenants' images and usage are stored (default: docker-over-ssh-guard in XDG_STATE_HOME or ~/.local/state)",
  },
  ...TERMS,
  { flags: "--audit <file>", description: "append a line of JSON for each request to this file (default: stderr)" },
  {
    flags: "--metrics <address>",
    description: "serve Prometheus metrics at HOST:PORT, or at a port of 127.0.0.1",
    parse: parseMetrics,
  },
  {
    flags: "--dry-run",
    description: "refuse NOTHING: pass all requests on to the engine, and record which would be refused",
  },
];

export const GUARD: CommandText = {
  name: "docker-over-ssh guard",
  description:
    "Serves sockets of an engine on which a tenant can build, list, tag, inspect, save, remove and push its own images, and do nothing else.",
  options: OPTIONS,
  more: `Commands:
  docker-over-ssh guard explain 'METHOD /PATH'   print the rule that decides about a request

SIGHUP makes the guard read --config again, and open --audit again. SIGTERM stops it; tenants keep their images.`,
};

/** Values of the options of `guard explain`. */
export interface ExplainOptions extends Terms {
  body?: string | undefined;
  header?: readonly (readonly [name: string, value: string])[] | undefined;
}

export const EXPLAIN: CommandText = {
  name: "docker-over-ssh guard explain",
  description: "Prints the decision of a guard with these options about a request, and its rule. Uses no engine.",
  arguments: [
    {
      term: "<REQUEST>",
      description: "e.g. 'POST /v1.51/build?t=app', or the path of a gRPC call, /moby.buildkit.v1.Control/Solve",
    },
  ],
  options: [
    { flags: "--body <file>", description: "the body, or the message of a gRPC call (default: none)" },
    {
      flags: "--header <header>",
      description: "'NAME: VALUE'; may be repeated (default: as docker sends them)",
      parse: parseHeader,
      repeats: true,
    },
    ...TERMS.filter(({ flags }) => /^--(?:allow-|share-cache|network|max-context)/.test(flags)),
  ],
  more: "Exit status: 0 if the request is allowed, 13 if it is refused.",
};

function parseMode(text: string): GuardSettings["mode"] {
  if (text === "passthrough") return text;
  // The name that image-build-daemon used for this mode.
  if (text === "buildah" || text === "imagebuilder") return "buildah";
  throw new InvalidValue("Expected passthrough or buildah.");
}

function parseMetrics(text: string): { host: string; port: number } {
  const address = parseListen(text);
  if (address.kind === "unix") throw new InvalidValue("Expected HOST:PORT or PORT.");
  return { host: address.host, port: address.port };
}

function parseHeader(text: string): readonly [string, string] {
  const [, name, value = ""] = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):\s*(.*)$/.exec(text) ?? [];
  if (name === undefined) throw new InvalidValue("Expected 'NAME: VALUE'.");
  return [name, value];
}
