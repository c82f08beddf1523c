import { contextTooLarge } from "../limits/refusals.ts";
import { checkId } from "./ids.ts";
import { Refusal } from "../refusal.ts";
import type { Builds } from "./builds.ts";
import type { BuildkitDependencies } from "./dependencies.ts";
import type { Caller } from "../caller.ts";
import type { OpenSession, SessionRequest } from "../backend.ts";

/** The methods of a client that the builder may call during a build */
const METHODS = new Set([
  "/grpc.health.v1.Health/Check",
  "/grpc.health.v1.Health/List",
  "/grpc.health.v1.Health/Watch",
  "/moby.filesync.v1.FileSync/DiffCopy",
  "/moby.filesync.v1.FileSync/TarStream",
  "/moby.filesync.v1.FileSend/DiffCopy",
  "/moby.filesync.v1.Auth/Credentials",
  "/moby.filesync.v1.Auth/FetchToken",
  "/moby.filesync.v1.Auth/GetTokenAuthority",
  "/moby.filesync.v1.Auth/VerifyTokenAuthority",
  "/moby.buildkit.secrets.v1.Secrets/GetSecret",
  "/moby.sshforward.v1.SSH/CheckAgent",
  "/moby.sshforward.v1.SSH/ForwardAgent",
  "/moby.upload.v1.Upload/Pull",
]);

/** Methods whose answers would change a build after its check. The guard hides from the engine that the client has them. */
const HIDDEN_METHODS =
  /^\/(?:moby\.exporter\.v1\.Exporter|moby\.buildkit\.v1\.sourcepolicy\.[\w.]+|containerd\.services\.content\.v1\.Content)\/\w+$/;

/** Maximum characters of the name or the key of a session */
const MAX_TEXT = 1024;

/**
 * Opens a session on the engine, under an ID of the guard. It ends with the tenant's connection. The tenant sends mostly the files of a context, so the limit
 * of contexts applies to the session.
 *
 * @throws Refusal `session.*`
 */
export async function openSession(
  { engine, ids }: BuildkitDependencies,
  builds: Pick<Builds, "endThoseOf">,
  { tenant, signal }: Caller,
  session: SessionRequest,
): Promise<OpenSession> {
  const engineId = ids.session(tenant.id, checkId(session.id, "session"));
  const stream = await engine.switchTo(
    "h2c",
    "/session",
    {
      "X-Docker-Expose-Session-Uuid": engineId,
      "X-Docker-Expose-Session-Name": checkText(session.name, "name"),
      "X-Docker-Expose-Session-Sharedkey": ids.sharedKey(tenant.id, checkText(session.sharedKey, "shared key")),
      "X-Docker-Expose-Session-Grpc-Method": checkMethods(session.methods),
    },
    signal,
  );
  const stop = (): void => void stream.destroy();
  signal.addEventListener("abort", stop, { once: true });
  stream.once("close", () => signal.removeEventListener("abort", stop));
  if (signal.aborted) stop();
  const limit = tenant.quotas.context;
  let received = 0;
  return {
    stream,
    count(bytes) {
      received += bytes;
      if (received <= limit) return;
      const refusal = contextTooLarge(limit);
      // The builder itself would only report that the session is not active.
      builds.endThoseOf(engineId, refusal);
      throw refusal;
    },
  };
}

/** Returns the methods that the engine may call. Throws a Refusal for an unknown one. */
export function checkMethods(methods: readonly string[]): string[] {
  const shown = methods.filter((method) => !HIDDEN_METHODS.test(method));
  const unknown = shown.find((method) => !METHODS.has(method));
  if (unknown === undefined) return shown;
  throw new Refusal(
    "session.method",
    `the session's method "${unknown.slice(0, 120)}" is not known to docker-over-ssh guard`,
  );
}

function checkText(text: string, what: string): string {
  if (text.length <= MAX_TEXT && /^[\u0020-\u007e]*$/.test(text)) return text;
  throw new Refusal("session.text", `the session's ${what} is too long, or has characters that are not printable`, {
    statusCode: 400,
  });
}
