import { InvalidValue, parseAge, parseSize } from "docker-over-ssh/builds";
import { checkAllowedHost } from "../net/allowed-host.ts";
import type { ListenAddress } from "../settings.ts";
import type { CommandText, OptionDefinition } from "./option.ts";

/** Values of the options of `serve`. Sizes are bytes, times ms. */
export interface ServeOptions {
  listen?: ListenAddress | undefined;
  tlsCert?: string | undefined;
  tlsKey?: string | undefined;
  role?: "api" | "worker" | "both" | undefined;
  data?: string | undefined;
  redis?: string | undefined;
  keyFile?: string | undefined;
  tokenFile?: string | undefined;
  webhookSecretFile?: string | undefined;
  host?: readonly string[] | undefined;
  jobs?: number | undefined;
  maxQueued?: number | undefined;
  maxUpload?: number | undefined;
  maxSize?: number | undefined;
  maxTime?: number | undefined;
  maxLog?: number | undefined;
  keepFor?: number | undefined;
  keepBytes?: number | undefined;
  keepLogs?: string | undefined;
  allowHost?: readonly string[] | undefined;
  grace?: number | undefined;
}

const OPTIONS: readonly OptionDefinition[] = [
  {
    flags: "--listen <address>",
    description:
      "HOST:PORT, a port of 127.0.0.1, or unix:PATH (default: port PORT of the environment, else 8080, of 127.0.0.1)",
    parse: parseListen,
  },
  { flags: "--tls-cert <file>", description: "serve HTTPS with this certificate chain (PEM)" },
  { flags: "--tls-key <file>", description: "the key of the certificate (PEM)" },
  {
    flags: "--role <role>",
    description: "api accepts jobs, worker runs them, both does both (default: both); api and worker need --redis",
    choices: ["api", "worker", "both"],
  },
  {
    flags: "--data <folder>",
    description:
      "where jobs, uploads and logs are stored (default: docker-over-ssh-server in XDG_STATE_HOME or ~/.local/state)",
  },
  {
    flags: "--redis <url>",
    description:
      "store jobs and logs in Redis, for several servers and workers (default: REDIS_URL, CACHE_1_PORT_6379_TCP_ADDR and _PORT)",
  },
  {
    flags: "--key-file <file>",
    description:
      "a secret that encrypts the credentials of queued jobs (default: with --redis, the file key in --data; else none)",
  },
  { flags: "--token-file <file>", description: "who may use the service; without it, only this machine can reach it" },
  {
    flags: "--webhook-secret-file <file>",
    description: "the secret that signs webhooks; without it, webhooks are disabled",
  },
  {
    flags: "-H, --host <address>",
    description: "an engine for builds; may be repeated (default: as for the docker command)",
    repeats: true,
  },
  {
    flags: "--jobs <count>",
    description: "number of jobs that run at the same time on one engine (default: 2)",
    parse: countUpTo(1000),
  },
  {
    flags: "--max-queued <count>",
    description: "maximum number of queued jobs (default: 10000)",
    parse: countUpTo(1_000_000),
  },
  { flags: "--max-upload <size>", description: "maximum size of a request, e.g. 500m (default: 1g)", parse: parseSize },
  { flags: "--max-size <size>", description: "maximum size of an unpacked archive (default: 4g)", parse: parseSize },
  { flags: "--max-time <time>", description: "maximum duration of a job, e.g. 30m (default: 1h)", parse: parseAge },
  { flags: "--max-log <size>", description: "maximum size of a log (default: 16m)", parse: parseSize },
  {
    flags: "--keep-for <time>",
    description: "how long jobs that are over are kept, e.g. 7d (default: 30d)",
    parse: parseAge,
  },
  {
    flags: "--keep-bytes <size>",
    description: "maximum total size of jobs that are over; the oldest are removed first (default: 10g)",
    parse: parseSize,
  },
  {
    flags: "--keep-logs <place>",
    description: "with --redis: store logs of jobs that are over in a folder, or in s3://BUCKET/PREFIX",
  },
  {
    flags: "--allow-host <host>",
    description: "HOST or HOST:PORT of archives and webhooks that may have a private address; may be repeated",
    parse: checkAllowedHost,
    repeats: true,
  },
  {
    flags: "--grace <time>",
    description: "time for running jobs to end when the service is stopped (default: 30s)",
    parse: parseAge,
  },
];

export const SERVE: CommandText = {
  name: "docker-over-ssh serve",
  description:
    "Runs a service that builds images with an engine, and pushes them to registries: an API, a queue, logs and a page.",
  options: OPTIONS,
  more: `Commands:
  docker-over-ssh serve token NAME   create a token for --token-file

SIGTERM stops the service: it starts no more jobs, and jobs that have not ended after --grace run again at the next start. SIGHUP makes it read
--token-file again.`,
};

/** --listen */
export function parseListen(text: string): ListenAddress {
  if (text.startsWith("unix:")) {
    const path = text.slice("unix:".length).replace(/^\/\//, "");
    if (path === "") throw new InvalidValue("Expected a path after unix:.");
    return { kind: "unix", path };
  }
  const [, bracketed, plain, digits = ""] = /^(?:(?:\[([0-9a-fA-F:.]+)\]|([^:[\]\s/]+)):)?(\d{1,5})$/.exec(text) ?? [];
  const port = Number(digits);
  if (digits === "" || port > 65_535) throw new InvalidValue("Expected HOST:PORT, PORT or unix:PATH.");
  return { kind: "tcp", host: bracketed ?? plain ?? "127.0.0.1", port };
}

function countUpTo(most: number): (text: string) => number {
  return (text) => {
    const count = Number(text);
    if (/^\d+$/.test(text) && count >= 1 && count <= most) return count;
    throw new InvalidValue(`Expected a number from 1 to ${most}.`);
  };
}
