import { randomBytes } from "node:crypto";
import { deadline, isAtLeast, jsonLines, parsePlatform, type Reference } from "docker-over-ssh/builds";
import type { ApiObject, PushOptions } from "../backend.ts";
import type { Caller } from "../caller.ts";
import { EngineAnswer, type EngineApi } from "../engine/engine-api.ts";
import type { ImagePusher } from "../images/image-pusher.ts";
import type { OwnImage } from "../images/own-images.ts";
import type { Limits } from "../limits/limits.ts";
import { namesHost } from "../policy/registry-host.ts";
import { Refusal } from "../refusal.ts";
import { checkEngineIsLocal, checkPush } from "./check-push.ts";
import { guardCredentials } from "./guard-credentials.ts";
import { createProxyServer, type ProxyServer } from "./proxy-server.ts";
import { failureIn, failureLine, tenantsLine } from "./push-lines.ts";
import { newPushName, type PushName } from "./push-name.ts";
import { PushSlots } from "./push-slots.ts";
import { engineAuth, PushTraffic } from "./push-traffic.ts";
import { ENGINE_CERTIFICATES, registrySecurity } from "./registry-security.ts";
import { forgetPush, removeLeftovers } from "./temporary-names.ts";
import { openUpstream, type Upstream } from "./upstream.ts";

/** Maximum ms for the removal of a temporary name */
const CLEAN_UP_TIMEOUT = 30_000;
/** The first version of the API that accepts a platform in a push (moby `docs/api/version-history.md`) */
const PLATFORM_API = "1.46";

/** Pushes tenants' images. Disposing closes its proxy; running pushes fail. */
export interface RegistryPusher extends ImagePusher, AsyncDisposable {
  /**
   * Pushes an image to the registry of `reference`, which has a tag. `onLine` gets the lines of progress. A failure is the last line, in the engine's format.
   * The guard's credentials take precedence over the tenant's.
   *
   * @throws Refusal for a push that the policy does not allow, before the first line
   */
  push(caller: Caller, image: OwnImage, reference: Reference, options: PushOptions): Promise<void>;
  /** Removes the names that pushes have left on the engine after a crash. Must not be called while a push is running. */
  removeLeftovers(signal: AbortSignal): Promise<void>;
}

/** The engine operations that a push uses. */
export type PushingEngine = Pick<EngineApi, "json" | "request" | "version" | "reachesUs">;

export interface PusherOptions {
  engine: PushingEngine;
  limits: Pick<Limits, "countPushed">;
  /** The environment of credential helpers */
  env: NodeJS.ProcessEnv;
  /** A text that distinguishes guards that share an engine, e.g. the folder of the ledger */
  owner: string;
  /** The folder of the engine's certificates of registries */
  certificates?: string;
}

/** Creates a pusher. It opens its port at the first push. */
export function openPusher(options: PusherOptions): RegistryPusher {
  const { engine, owner } = options;
  const proxy = createProxyServer();
  const slots = new PushSlots();
  return {
    async push(caller, image, reference, pushOptions) {
      checkPush(caller.tenant, reference);
      checkEngineIsLocal(engine);
      const platform = await platformQuery(engine, pushOptions.platform, caller.signal);
      const ownCredentials = await guardCredentials(caller.tenant, reference.domain, options.env);
      const { onLine } = pushOptions;
      onLine({ status: `The push refers to repository [${reference.domain}/${reference.path}]` });
      const stop = new AbortController();
      const signal = AbortSignal.any([caller.signal, stop.signal]);
      try {
        using _slot = await slots.take(caller.tenant.id, signal);
        const credentials = ownCredentials ?? pushOptions.credentials;
        using upstream = await connect(caller, reference, credentials, { ...options, signal });
        await pushThrough({ proxy, upstream, caller, image, reference, platform, stop, signal, onLine, options });
      } catch (error) {
        caller.signal.throwIfAborted();
        if (!(error instanceof Refusal)) throw error;
        caller.note.rule = error.rule;
        onLine(failureLine(error.message));
      }
    },
    removeLeftovers: async (signal) => await removeLeftovers(engine, owner, signal),
    [Symbol.asyncDispose]: async () => await proxy[Symbol.asyncDispose](),
  };
}

async function connect(
  { tenant }: Caller,
  reference: Reference,
  credentials: PushOptions["credentials"],
  { engine, certificates = ENGINE_CERTIFICATES, signal }: PusherOptions & { signal: AbortSignal },
): Promise<Upstream> {
  const { domain: host, path: repository } = reference;
  const security = await registrySecurity(engine, host, { certificates, signal });
  const onlyPublic = !namesHost(tenant.policy.pushes, reference);
  return await openUpstream({ host, repository, credentials, security, onlyPublic, signal });
}

interface PushThrough {
  proxy: ProxyServer;
  upstream: Upstream;
  caller: Caller;
  image: OwnImage;
  reference: Reference;
  platform: readonly [string, string][];
  stop: AbortController;
  signal: AbortSignal;
  onLine: PushOptions["onLine"];
  options: PusherOptions;
}

/** Makes the engine push to the proxy, under a temporary name. */
async function pushThrough(through: PushThrough): Promise<void> {
  const { proxy, upstream, caller, image, reference, stop, signal, options } = through;
  const { engine, owner, limits } = options;
  const name = newPushName(await proxy.listen(), owner, caller.tenant.id, reference);
  const traffic = new PushTraffic({
    name,
    password: randomBytes(24).toString("base64url"),
    upstream,
    target: { host: reference.domain, path: reference.path, tag: reference.tag ?? "" },
    count: (bytes) => limits.countPushed(caller.tenant, bytes),
    onFatal: (refusal) => stop.abort(refusal),
  });
  try {
    const repo = `${name.host}/${name.repository}`;
    const query = [
      ["repo", repo],
      ["tag", name.tag],
    ] as const;
    await engine.json({ method: "POST", path: `/images/${image.id}/tag`, query, signal });
    using _open = proxy.open(traffic);
    await follow(through, name, traffic);
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof EngineAnswer) throw traffic.problem ?? new Refusal("push.failed", error.message);
    throw error;
  } finally {
    using late = deadline(CLEAN_UP_TIMEOUT);
    await forgetPush(engine, name, late.signal);
  }
}

async function follow(through: PushThrough, name: PushName, traffic: PushTraffic): Promise<void> {
  const { reference, platform, signal, onLine, options } = through;
  const answer = await options.engine.request({
    method: "POST",
    path: `/images/${name.host}/${name.repository}/push`,
    query: [["tag", name.tag], ...platform],
    headers: { "x-registry-auth": engineAuth(traffic) },
    signal,
  });
  for await (const line of jsonLines(answer.body as AsyncIterable<Uint8Array>)) {
    const failure = failureIn(line, name, reference);
    if (failure !== undefined) throw traffic.problem ?? failureOf(failure.message, traffic);
    const shown = tenantsLine(line, name, reference);
    if (shown !== undefined && !isFirstLine(shown)) onLine(shown);
  }
  if (!answer.isWhole())
    throw new Refusal("engine.unreachable", "the engine has gone before the push was over", { statusCode: 502 });
}

/** Returns the Refusal for a failed push. A rootless engine, or one in a virtual machine, has its own 127.0.0.1, so it cannot reach the proxy. */
function failureOf(message: string, { hasRequests }: PushTraffic): Refusal {
  if (hasRequests || !/connection refused|i\/o timeout/i.test(message)) return new Refusal("push.failed", message);
  return new Refusal(
    "push.engine-elsewhere",
    "the engine cannot connect to the guard on 127.0.0.1: the guard can push only with an engine that has the same network",
    { statusCode: 501 },
  );
}

/** Returns whether a line is the one that the guard has already sent, before it connected to the registry. */
function isFirstLine({ status }: ApiObject): boolean {
  return typeof status === "string" && status.startsWith("The push refers to repository");
}

/** @param given in the notation of `--platform`, e.g. `linux/arm64` */
async function platformQuery(
  engine: PushingEngine,
  given: string | undefined,
  signal: AbortSignal,
): Promise<[string, string][]> {
  if (given === undefined) return [];
  const platform = parsePlatform(given);
  if (platform === undefined)
    throw new Refusal("push.platform", `"${given}" is not a platform, e.g. linux/arm64`, { statusCode: 400 });
  const { apiVersion } = await engine.version(signal);
  if (!isAtLeast(apiVersion, PLATFORM_API))
    throw new Refusal("push.platform", `the engine pushes one platform of an image only from API ${PLATFORM_API} on`, {
      statusCode: 400,
    });
  return [["platform", JSON.stringify(platform)]];
}
