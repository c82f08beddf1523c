import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** Literals in the guard's source that look like rules but are not: names of files, labels, capabilities, frontends. */
const OTHERS =
  /^(?:docker-over-ssh|containerimage|io|moby|org|os|cpu|cpuset|pids|ca|memory|registry\.insecure)(?:\.|$)|\.(?:json|sock|crt|io|v0|procs|controllers|caps|tar|max|internal)$/;

/** The meanings of rules whose sentence is not next to the rule in the source. */
const SENTENCES: Readonly<Record<string, string>> = {
  "build.cpus": "a build asks for more processors, or for a larger share of them, than it may have",
  "build.extra-hosts": "a host of --add-host is not HOST:ADDRESS, or is the guard's own (guard.internal)",
  "base.refused": "… is not a base that may be used here",
  "call.refused": "the table of calls does not have this call",
  "auth.invalid": "the credentials in a header or body cannot be read",
  "build.failed": "the build has failed: the message is the builder's",
  "build.unknown": "no such build",
  "context.dockerignore": "a pattern of .dockerignore cannot be read",
  "context.invalid": "the context cannot be read",
  "dockerfile.missing": "the context has no such Dockerfile",
  "dry-run.unreadable": "a dry run could not read the rest of a connection, where a guard would have closed it",
  "engine.answer": "the engine has answered with an error: the message is the engine's",
  "buildkit.none": "this guard has no BuildKit: set DOCKER_BUILDKIT=0 for the classic builder",
  "login.failed": "the registry, or the engine, does not take the credentials: the message is the engine's",
  "quota.calls": "too many requests at a time: this tenant may have at most … open",
  "quota.connections": "too many open connections of this tenant",
  "quota.requests": "too many requests: this tenant may make at most … per second on average",
  "client.slow": "the client does not read its answer",
  "client.gone": "the client disconnected before the end of the answer",
  "dockerfile.invalid": "the Dockerfile cannot be read: the message names the line",
  "filter.value": "a filter has an invalid value",
  "name.invalid": "not the name of an image",
  "json.type": "a value has the wrong type",
  "name.reserved": "names of guard.internal are the guard's own",
  "push.denied": "the registry does not allow these credentials to push",
  "push.manifest": "a manifest does not match its digest, or has a type or size that is not pushed",
  "session.invalid": "the headers of a session (X-Docker-Expose-Session-…) are not valid",
  "query.value": "a value of the query has the wrong form",
  "push.failed": "the push has failed: the message is the registry's",
};

/**
 * Returns the rules of all refusals in the guard's source, with their first sentences.
 *
 * @throws Error for a refusal whose rule cannot be read from the source: a template, or the name of a call
 */
export function readRules(folder: string, calls: ReadonlySet<string>): Map<string, string> {
  const found = new Map<string, string>();
  for (const file of readdirSync(folder, { recursive: true, encoding: "utf8" }).toSorted()) {
    if (!file.endsWith(".ts") || file.includes("gen/")) continue;
    const source = readFileSync(join(folder, file), "utf8");
    checkRefusals(file, source, calls);
    for (const [rule, sentence] of rulesOf(source)) {
      if (!OTHERS.test(rule) && (found.get(rule) ?? "") === "") found.set(rule, sentence);
    }
  }
  for (const rule of found.keys()) found.set(rule, SENTENCES[rule] ?? found.get(rule) ?? "");
  return new Map([...found].toSorted(([one], [other]) => one.localeCompare(other)));
}

/** Throws an error for a refusal that the table could not contain, although audit lines and `guard explain` name its rule. */
function checkRefusals(file: string, source: string, calls: ReadonlySet<string>): void {
  for (const [, rule = ""] of source.matchAll(/\bnew Refusal\(\s*("[^"]*"|`)/g)) {
    if (rule === "`") throw new Error(`${file}: the rule of a refusal is a template: write it as a string`);
    if (calls.has(rule.slice(1, -1))) throw new Error(`${file}: ${rule} is the name of a call, not of a refusal`);
  }
}

function rulesOf(source: string): [rule: string, sentence: string][] {
  const text = source.replaceAll(/^\s*(?:\/\/|\*|\/\*\*).*$/gm, "");
  const literals = text.matchAll(/"([a-z]+(?:-[a-z0-9]+)*(?:\.[a-z0-9]+(?:-[a-z0-9]+)*)+)"\s*(?:,|\)|:|\?|;|\})/g);
  return [...literals].map(({ 0: whole, 1: rule = "", index }) => [rule, sentenceOf(text.slice(index + whole.length))]);
}

/** Returns the literal after a rule, with `…` for its placeholders; empty if there is no literal. */
function sentenceOf(text: string): string {
  const [, , quoted, template] =
    /^\s*([\w.]+,\s*)?(?:"((?:[^"\\]|\\.)*)"|`((?:[^`\\$]|\\.|\$(?!\{)|\$\{(?:[^{}`]|`[^`]*`|\{[^{}]*\})*\})*)`)/s.exec(
      text,
    ) ?? [];
  const sentence = quoted ?? template?.replaceAll(/\$\{(?:[^{}`]|`[^`]*`|\{[^{}]*\})*\}/gs, "…") ?? "";
  return sentence
    .replaceAll(/\\(.)/g, "$1")
    .replaceAll(/(?:…\s*){2,}/g, "… ")
    .replaceAll("|", "\\|")
    .trim();
}
