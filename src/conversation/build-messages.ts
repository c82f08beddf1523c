import { MAX_SECRET, type Credentials } from "../engine/credentials.ts";
import type { BuilderKind, BuildOrder, CheckedBuild } from "../engine/engine-builder.ts";
import { formatPlatform } from "../image/platform.ts";
import type { Message } from "../stdio-tunnel/control.ts";
import { count, DIGEST, malformed, matching, platformIn, references, text } from "./fields.ts";

/**
 * The messages of a build, in this order: `build` (from the initiator, which is the receiver), `builder` (from the side with the engine),
 * and `built`, or `checked` if nothing is to be built. `question` and `answer` can be sent at any time between the last two. Streams carry
 * the context and the log: see the services below.
 */

/** The stream that carries the context to the builder's side (build-context/delta/). */
export const CONTEXT_SERVICE = "build-context";
/** The stream that carries the events of the build back, each a line of JSON. */
export const LOG_SERVICE = "build-log";
/** The stream to an ssh agent of the initiator. The ID of the question that requested it follows after a hyphen. */
export const AGENT_SERVICE = "build-agent";

/** The maximum bytes of a text in an order, e.g. the value of a build argument. */
const MAX_TEXT = 512 * 1024;
/** The maximum entries of a list or a map in an order. */
const MAX_ENTRIES = 1000;

/** The build that the initiator requests. */
export interface BuildMessage {
  /** The order, with the context key of the project. */
  order: BuildOrder;
  /** Whether the context is sent on a separate stream. False if the other side already has it, or if `order.git` names it. */
  sendsContext: boolean;
  goal:
    /** --check: only check the Dockerfile. The context is the Dockerfile and its ignore file. */
    | { kind: "check" }
    /** `push`: publish the image from the builder's side, under each of its names (--push) */
    | { kind: "image"; push: boolean };
}

export function buildMessage({ order, sendsContext, goal }: BuildMessage): Message {
  const { platform, ...plain } = order;
  return {
    type: "build",
    order: { ...plain, platform: platform && formatPlatform(platform) },
    sendsContext,
    push: goal.kind === "image" && goal.push,
    check: goal.kind === "check",
  };
}

export function parseBuildMessage({ order, sendsContext, push, check }: Message): BuildMessage {
  const image = { kind: "image", push: flag(push) } as const;
  return {
    order: parseOrder(objectOf(order)),
    sendsContext: flag(sendsContext),
    goal: flag(check) ? { kind: "check" } : image,
  };
}

function parseOrder(order: Record<string, unknown>): BuildOrder {
  const { names, git, isArchive, dockerfile, target, platform, network, contextKey, contextPlace } = order;
  return {
    names: Array.isArray(names) && names.length === 0 ? [] : references(names).map(({ given }) => given),
    ...(git !== undefined && { git: longText(git, MAX_TEXT) }),
    ...(isArchive !== undefined && { isArchive: flag(isArchive) }),
    dockerfile: pathInside(dockerfile),
    ...(target !== undefined && { target: longText(target, MAX_TEXT) }),
    buildArgs: mapOf(order["buildArgs"]),
    labels: mapOf(order["labels"]),
    ...(platform !== undefined && { platform: platformIn(platform) }),
    noCache: flag(order["noCache"]),
    pull: flag(order["pull"]),
    cacheFrom: textsIn(order["cacheFrom"]),
    ...(network !== undefined && { network: text(network) }),
    secrets: textsIn(order["secrets"]),
    agents: textsIn(order["agents"]),
    contextKey: matching(contextKey, DIGEST),
    ...(contextPlace !== undefined && { contextPlace: matching(contextPlace, DIGEST) }),
  };
}

/** The builder that performs the build. */
export interface BuilderMessage {
  kind: BuilderKind;
  /** The engine's version */
  version: string;
  /** `os/arch[/variant]` */
  platform: string;
}

export function builderMessage(builder: BuilderMessage): Message {
  return { type: "builder", ...builder };
}

export function parseBuilder({ kind, version, platform }: Message): BuilderMessage {
  const known = (["buildkit", "classic", "buildah"] as const).find((one) => one === kind);
  if (known === undefined) throw malformed("builder");
  return { kind: known, version: text(version), platform: text(platform) };
}

/** A question of a builder to the user's side. */
export type Question =
  | { id: number; kind: "credentials"; host: string }
  | { id: number; kind: "secret"; name: string }
  /** The initiator opens the stream `AGENT_SERVICE-ID` to this agent. */
  | { id: number; kind: "agent"; name: string };

export function questionMessage(question: Question): Message {
  return { type: "question", ...question };
}

export function parseQuestion({ id, kind, host, name }: Message): Question {
  if (kind === "credentials") return { id: count(id), kind, host: text(host) };
  if (kind === "secret" || kind === "agent") return { id: count(id), kind, name: text(name) };
  throw malformed("question");
}

/** The answer. It has no value if the user's side has none. */
export interface Answer {
  id: number;
  credentials?: Credentials | undefined;
  secret?: Buffer | undefined;
  /** True if the stream to the agent is open. */
  agent?: boolean | undefined;
  /** The reason why there is no answer, for people */
  error?: string | undefined;
}

export function answerMessage({ id, credentials, secret, agent, error }: Answer): Message {
  return { type: "answer", id, credentials, secret: secret?.toString("base64"), agent, error };
}

export function parseAnswer({ id, credentials, secret, agent, error }: Message): Answer {
  return {
    id: count(id),
    ...(credentials !== undefined && { credentials: credentialsIn(objectOf(credentials)) }),
    ...(secret !== undefined && { secret: Buffer.from(longText(secret, 2 * MAX_SECRET), "base64") }),
    agent: agent === true,
    ...(error !== undefined && { error: text(error) }),
  };
}

function credentialsIn({ username, password }: Record<string, unknown>): Credentials {
  return { username: longText(username, MAX_TEXT), password: longText(password, MAX_TEXT) };
}

/** The image is built. */
export interface BuiltMessage {
  /** The image ID in the engine of the builder's side */
  id: string;
  /** With `push`: the names, with the digests that the registries returned */
  pushed: readonly { name: string; digest?: string | undefined }[];
  /** Bytes, as counted by the engine of the builder's side */
  size: number;
  /** ms */
  times: { context: number; build: number; push: number };
}

export function builtMessage(built: BuiltMessage): Message {
  return { type: "built", ...built };
}

export function parseBuilt({ id, pushed, size, times }: Message): BuiltMessage {
  const { context, build, push } = objectOf(times);
  if (!Array.isArray(pushed) || pushed.length > MAX_ENTRIES) throw malformed("list of names");
  return {
    id: matching(id, DIGEST),
    pushed: pushed.map((one) => {
      const { name, digest } = objectOf(one);
      return { name: text(name), ...(digest !== undefined && { digest: matching(digest, DIGEST) }) };
    }),
    size: count(size),
    times: { context: count(context), build: count(build), push: count(push) },
  };
}

/** Returns the message with the result of a check of the Dockerfile. */
export function checkedMessage(checked: CheckedBuild): Message {
  return { type: "checked", ...checked };
}

export function parseChecked({ text: findings, count: warnings, error }: Message): CheckedBuild {
  return {
    text: longText(findings, MAX_TEXT),
    count: count(warnings),
    ...(error !== undefined && { error: longText(error, MAX_TEXT) }),
  };
}

function objectOf(value: unknown): Record<string, unknown> {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  throw malformed("object");
}

function flag(value: unknown): boolean {
  if (typeof value !== "boolean") throw malformed("value");
  return value;
}

function longText(value: unknown, max: number): string {
  if (typeof value !== "string" || value.length > max) throw malformed("text");
  return value;
}

function textsIn(value: unknown): string[] {
  if (!Array.isArray(value) || value.length > MAX_ENTRIES) throw malformed("list");
  return value.map((one) => longText(one, MAX_TEXT));
}

function mapOf(value: unknown): Record<string, string> {
  const entries = Object.entries(objectOf(value));
  if (entries.length > MAX_ENTRIES) throw malformed("map");
  return Object.fromEntries(entries.map(([key, one]) => [longText(key, MAX_TEXT), longText(one, MAX_TEXT)]));
}

/** Parses a path in the context: it is relative, and stays in the context. */
function pathInside(value: unknown): string {
  const path = longText(value, MAX_TEXT);
  const isInside = path !== "" && path.split("/").every((name) => name !== "" && name !== "." && name !== "..");
  if (!isInside || path.includes("\0")) throw malformed("path of the Dockerfile");
  return path;
}
