import type { Duplex } from "node:stream";
import {
  AGENT_SERVICE,
  answerMessage,
  parseAnswer,
  parseQuestion,
  questionMessage,
  type Answer,
  type Question,
} from "../conversation/build-messages.ts";
import { registryKey } from "../credentials/registry-host.ts";
import type { BuildAnswers } from "../engine/engine-builder.ts";
import { messageOf } from "../output/errors.ts";
import type { Conversation } from "../stdio-tunnel/conversation.ts";
import { abortable } from "../streams/abortable.ts";
import { bridge } from "../streams/bridge.ts";
import { deferred, type Deferred } from "../streams/deferred.ts";

/**
 * Returns the questions of a builder to the initiator, over the tunnel. Each method rejects when the conversation ends, and with an Error
 * in the words of the initiator if it cannot answer.
 */
export function questionsOver(tunnel: Conversation): BuildAnswers {
  const waiting = new Map<number, Deferred<Answer>>();
  let count = 0;
  tunnel.on("answer", (message) => {
    const answer = parseAnswer(message);
    waiting.get(answer.id)?.resolve(answer);
    waiting.delete(answer.id);
  });
  const ask = async (question: Question): Promise<Answer> => {
    const pending = deferred<Answer>();
    waiting.set(question.id, pending);
    await tunnel.send(questionMessage(question));
    const answer = await abortable(pending.promise, tunnel.signal);
    if (answer.error !== undefined) throw new Error(answer.error);
    return answer;
  };
  return {
    credentials: async (host) => (await ask({ id: ++count, kind: "credentials", host })).credentials,
    secret: async (name) => (await ask({ id: ++count, kind: "secret", name })).secret,
    async agent(name) {
      const id = ++count;
      const opened = deferred<Duplex>();
      tunnel.listen(`${AGENT_SERVICE}-${id}`, (stream) => opened.resolve(stream));
      const { agent } = await ask({ id, kind: "agent", name });
      if (agent !== true) throw new Error(`there is no ssh agent ${name}`);
      return await abortable(opened.promise, tunnel.signal);
    },
  };
}

/** Maximum number of concurrent questions; a build asks few. Further ones are refused. */
const MAX_QUESTIONS = 64;
/** Maximum number of questions of a build. Each may start a credential helper. */
const MAX_IN_ALL = 10_000;

/** Maximum number of open connections to agents: a build step has one for each program that signs. */
const MAX_AGENTS = 16;

/**
 * Answers the questions of the builder's side until the conversation ends. Only the secrets and agents that the user has named are available.
 * `onCredentials` is called once for each registry whose credentials are sent.
 */
export function answerQuestions(
  tunnel: Conversation,
  answers: BuildAnswers,
  onCredentials: (registry: string) => void,
): void {
  const announced = new Set<string>();
  const tellOnce = (host: string): void => {
    const registry = registryKey(host);
    if (!announced.has(registry)) onCredentials(registry);
    announced.add(registry);
  };
  let open = 0;
  let count = 0;
  const agents = new Set<Duplex>();
  const limited: BuildAnswers = {
    ...answers,
    async agent(name) {
      if (agents.size === MAX_AGENTS) throw new Error(`${MAX_AGENTS} connections to ssh agents are open`);
      const agent = await answers.agent(name);
      agents.add(agent);
      agent.once("close", () => agents.delete(agent));
      return agent;
    },
  };
  tunnel.on("question", (message) => {
    const question = parseQuestion(message);
    if (open === MAX_QUESTIONS || count === MAX_IN_ALL)
      throw new Error("the remote side asks more questions than a build needs");
    open += 1;
    count += 1;
    void answerTo(question, tunnel, limited, tellOnce)
      .catch((error: unknown): Answer => ({ id: question.id, error: messageOf(error).slice(0, 500) }))
      .then(async (answer) => await tunnel.send(answerMessage(answer)))
      .catch(() => {}) // the conversation has ended
      .finally(() => (open -= 1));
  });
}

async function answerTo(
  question: Question,
  tunnel: Conversation,
  answers: BuildAnswers,
  onCredentials: (host: string) => void,
): Promise<Answer> {
  const { id } = question;
  switch (question.kind) {
    case "credentials": {
      const credentials = await answers.credentials(question.host);
      if (credentials !== undefined) onCredentials(question.host);
      return { id, credentials };
    }
    case "secret":
      return { id, secret: await answers.secret(question.name) };
    case "agent": {
      const agent = await answers.agent(question.name);
      bridge(tunnel.connect(`${AGENT_SERVICE}-${id}`), agent);
      return { id, agent: true };
    }
  }
}
