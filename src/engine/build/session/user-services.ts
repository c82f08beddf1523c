import type { Duplex } from "node:stream";
import { Code, ConnectError, type ConnectRouter } from "@connectrpc/connect";
import { Auth } from "../../buildkit/gen/auth_pb.ts";
import { Health } from "../../buildkit/gen/health_pb.ts";
import { Secrets } from "../../buildkit/gen/secrets_pb.ts";
import { SSH } from "../../buildkit/gen/ssh_pb.ts";
import { MAX_SECRET, TOKEN_USER } from "../../credentials.ts";
import type { BuildAnswers, BuildOrder } from "../../engine-builder.ts";

const SERVING = 1;
/** Docker Hub's host, and its name in the docker config. */
const HUB = ["registry-1.docker.io", "docker.io", "https://index.docker.io/v1/"] as const;

/** Adds the services of a session that need the user's side: credentials, secrets, ssh agents. */
export function userServices(
  order: Pick<BuildOrder, "secrets" | "agents">,
  answers: BuildAnswers,
): (router: ConnectRouter) => void {
  return (router) => {
    // Without this service, BuildKit ends a session after ten seconds.
    router.service(Health, { check: () => ({ status: SERVING }) });
    router.service(Auth, {
      async credentials({ host }) {
        const found = await answers.credentials(host === HUB[0] || host === HUB[1] ? HUB[2] : host);
        if (found === undefined) return {};
        // BuildKit treats a secret without a user name as an identity token.
        return { username: found.username === TOKEN_USER ? "" : found.username, secret: found.password };
      },
    });
    router.service(Secrets, {
      async getSecret({ ID: id }) {
        const secret = order.secrets.includes(id) ? await answers.secret(id) : undefined;
        if (secret === undefined) throw new ConnectError(`there is no secret ${id}`, Code.NotFound);
        if (secret.length > MAX_SECRET) throw new ConnectError(`the secret ${id} is larger than ${MAX_SECRET} bytes`);
        return { data: new Uint8Array(secret) };
      },
    });
    router.service(SSH, {
      checkAgent({ ID: id }) {
        agentOf(order.agents, id);
        return {};
      },
      async *forwardAgent(messages, { requestHeader, signal }) {
        const id = agentOf(order.agents, requestHeader.get("buildkit.ssh.id") ?? "");
        const agent = await answers.agent(id);
        try {
          write(messages, agent);
          signal.addEventListener("abort", () => agent.destroy());
          for await (const chunk of agent as AsyncIterable<Buffer>) yield { data: new Uint8Array(chunk) };
        } finally {
          agent.destroy();
        }
      },
    });
  };
}

function agentOf(agents: readonly string[], id: string): string {
  const name = id === "" ? "default" : id;
  if (!agents.includes(name)) throw new ConnectError(`there is no ssh agent ${name}`, Code.NotFound);
  return name;
}

function write(messages: AsyncIterable<{ data: Uint8Array }>, agent: Duplex): void {
  const copy = async (): Promise<void> => {
    for await (const { data } of messages) {
      if (!agent.write(data)) await new Promise<void>((resolve) => agent.once("drain", resolve).once("close", resolve));
    }
    agent.end();
  };
  copy().catch((error: unknown) => agent.destroy(error as Error));
}
