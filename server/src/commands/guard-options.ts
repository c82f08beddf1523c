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
      "passthrough: the host's engine; buildah, or imagebuilder: no engine, a storage for each tenant (default: passthrough)",
    parse: parseMode,
  },
  {
    flags: "--bind-local <folder>",
    description:
      "to try it out: docker.sock in this folder is the tenant local, which may use any image as a base if neither --allow-base nor --allow-pull is given",
  },
  {
    flags: "--tenant <tenant>",
    description:
      "name=NAME,socket=PATH, and any option below from --allow-base on, e.g. memory=2g,allow-base=alpine, or label=KEY=VALUE; may be repeated",
    parse: parseListedTenant,
    repeats: true,
  },
  { flags: "--config <file>", description: "tenants as JSON; read again on SIGHUP" },
  {
    flags: "--kubernetes",
    description: "pods that the engine runs are tenants, if they mount an emptyDir at /var/run/docker",
  },
  {
    flags: "--kubelet-dir <folder>",
    description:
      "pods of any container runtime are tenants: the kubelet's folder, e.g. /var/lib/kubelet; with --kubernetes: where that folder is, and nothing else",
  },
  {
    flags: "--kubelet-volume <name>",
    description: "with --kubelet-dir: the emptyDir that gets the socket (default: docker-socket)",
  },
  {
    flags: "--data <folder>",
    description:
      "what tenants have is written down here (default: docker-over-ssh-guard in XDG_STATE_HOME or ~/.local/state)",
  },
  ...TERMS,
  { flags: "--audit <file>", description: "a line of JSON for each request goes there (default: stderr)" },
  {
    flags: "--metrics <address>",
    description: "serve Prometheus metrics at HOST:PORT, or at a port of 127.0.0.1",
    parse: parseMetrics,
  },
  {
    flags: "--dry-run",
    description: "refuse NOTHING: pass all requests on to the engine, and write down what would be refused",
  },
];

export const GUARD: CommandText = {
  name: "docker-over-ssh guard",
  description:
    "Serves sockets of an engine on which a tenant may build, tag, list, remove and push its own images, and nothing else.",
  options: OPTIONS,
  more: `Commands:
  docker-over-ssh guard explain 'METHOD /PATH'   tell which rule decides about a request

SIGHUP makes the guard read --config again, and open --audit again. SIGTERM stops it; what tenants have stays.`,
};

/** Values of the options of `guard explain`. */
export interface ExplainOptions extends Terms {
  body?: string | undefined;
  header?: readonly (readonly [name: string, value: string])[] | undefined;
}

export const EXPLAIN: CommandText = {
  name: "docker-over-ssh guard explain",
  description: "Tells what a guard with these options decides about a request, and by which rule. It asks no engine.",
  arguments: [
    {
      term: "<REQUEST>",
      description: "e.g. 'POST /v1.51/build?t=app', or the path of a gRPC call, /moby.buildkit.v1.Control/Solve",
    },
  ],
  options: [
    { flags: "--body <file>", description: "the body; of a gRPC call, its message (default: none)" },
    {
      flags: "--header <header>",
      description: "'NAME: VALUE'; may be repeated (default: as docker sends them)",
      parse: parseHeader,
      repeats: true,
    },
    ...TERMS.filter(({ flags }) => /^--(?:allow-|share-cache|network|max-context)/.test(flags)),
  ],
  more: "The status is 0 if the request is allowed, and 13 if it is refused.",
};

function parseMode(text: string): GuardSettings["mode"] {
  if (text === "passthrough") return text;
  // image-build-daemon has called it so.
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
