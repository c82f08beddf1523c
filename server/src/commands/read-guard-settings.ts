import { homedir } from "node:os";
import { join, resolve } from "node:path";
import { Failure } from "docker-over-ssh/builds";
import { checkDifferent, checkSocketOf } from "../guard/config/check-tenants.ts";
import { defaultsOf } from "../guard/config/terms.ts";
import type { GuardSettings, ListedTenant, TenantSources } from "../guard/settings.ts";
import type { GuardOptions } from "./guard-options.ts";

/** Creates settings from options and the environment. Throws a Failure `usage` for contradictory options. */
export function readGuardSettings(options: GuardOptions, env: NodeJS.ProcessEnv): GuardSettings {
  const { mode = "passthrough", host, audit, metrics, dryRun = false } = options;
  if (mode === "buildah" && host !== undefined) {
    throw new Failure("usage", "--mode buildah uses no engine", { expected: "no -H, or --mode passthrough" });
  }
  if (mode === "buildah" && dryRun) {
    throw new Failure("usage", "--dry-run passes requests on to an engine, and --mode buildah has none", {
      expected: "--mode passthrough with --dry-run",
    });
  }
  if (mode === "buildah" && options.kubernetes) {
    throw new Failure("usage", "--kubernetes lists the pods of the engine, and --mode buildah has none", {
      expected: "--kubelet-dir for pods, or --mode passthrough",
    });
  }
  return {
    mode,
    engine: host,
    data: resolve(options.data ?? defaultFolder(env)),
    defaults: defaultsOf(options),
    sources: sourcesOf(options),
    auditFile: audit === undefined ? undefined : resolve(audit),
    metrics,
    isDryRun: dryRun,
  };
}

function sourcesOf(options: GuardOptions): TenantSources {
  const { bindLocal, tenant: listed = [], config, kubernetes = false, kubeletDir, kubeletVolume } = options;
  const hasSource = bindLocal ?? config ?? kubeletDir ?? (kubernetes || listed[0]);
  if (!hasSource) {
    throw new Failure("usage", "no tenant is configured, so nobody would get a socket", {
      expected: "--tenant, --config, --kubernetes, --kubelet-dir or --bind-local",
      hint: "To try it out: `docker-over-ssh guard --bind-local /tmp`, and elsewhere `DOCKER_HOST=unix:///tmp/docker.sock docker build .`",
    });
  }
  if (kubeletVolume !== undefined && kubeletDir === undefined) {
    throw new Failure("usage", "--kubelet-volume names a volume below --kubelet-dir, which is not given", {
      expected: "both, or neither",
    });
  }
  const local = bindLocal === undefined ? undefined : localTenant(bindLocal, options);
  checkDifferent(local === undefined ? listed : [...listed, local], "the command line");
  return {
    bindLocal: local,
    listed,
    configFile: config === undefined ? undefined : resolve(config),
    usesEnginePods: kubernetes,
    kubelet:
      kubeletDir === undefined
        ? undefined
        : { folder: resolve(kubeletDir), volume: checkVolume(kubeletVolume ?? "docker-socket") },
  };
}

/**
 * Returns the tenant of --bind-local. Users who try the guard out can use the engine anyway, and want builds to
 * succeed: without an option that lists bases, this tenant may use any image as a base.
 */
function localTenant(folder: string, { allowBase, allowPull }: GuardOptions): ListedTenant {
  const socket = checkSocketOf(join(resolve(folder), "docker.sock"), "--bind-local");
  const saysBases = allowBase !== undefined || allowPull !== undefined;
  return { id: "local", socket, ...(!saysBases && { policy: { bases: ["*"] } }) };
}

/** Kubernetes' rule for names of volumes (RFC 1123): the name becomes a part of a path. */
function checkVolume(name: string): string {
  if (/^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/.test(name)) return name;
  throw new Failure("usage", `--kubelet-volume ${JSON.stringify(name)} cannot be the name of a volume`, {
    expected: "lower-case letters, digits and hyphens, at most 63",
  });
}

function defaultFolder(env: NodeJS.ProcessEnv): string {
  const state = env["XDG_STATE_HOME"] || join(env["HOME"] || homedir(), ".local/state");
  return join(state, "docker-over-ssh-guard");
}
