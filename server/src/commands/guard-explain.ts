import { readFile } from "node:fs/promises";
import { Failure, messageOf } from "docker-over-ssh/builds";
import { defaultsOf } from "../guard/config/terms.ts";
import { explain, type ExplainedRequest } from "../guard/explain.ts";
import { EXPLAIN, type ExplainOptions } from "./guard-options.ts";
import { parseWords } from "./option.ts";

/** Runs `guard explain`. Rejects with a Failure `refused` if the request is refused. */
export async function explainRequest(words: readonly string[], print: (text: string) => void): Promise<void> {
  const parsed = parseWords<ExplainOptions>(EXPLAIN, words, print);
  if (parsed === undefined) return;
  const { options } = parsed;
  const tenant = { id: "explained", labels: {}, ...defaultsOf(options) };
  const request = {
    ...requestOf(parsed.words[0] ?? ""),
    headers: options.header ?? [],
    body: await bodyOf(options.body),
  };
  const { decision, rule, reason, statusCode } = explain(request, tenant);
  if (decision === "allowed") {
    print(`allowed by ${rule}: ${reason}\n`);
    print(
      "Bases, the tenant's images and quotas depend on the engine; the guard checks them when it handles the request.\n",
    );
    print('docs/guard.md, "The calls"\n');
    return;
  }
  print(`refused by ${rule}, with status ${statusCode}\n`);
  throw new Failure("refused", reason, { hint: `docs/guard.md, "The rules", describes ${rule}.` });
}

/** `POST /v1.51/build?t=app`, or `/moby.buildkit.v1.Control/Solve` */
function requestOf(text: string): Pick<ExplainedRequest, "method" | "target"> {
  const [, method, target] = /^(?:([A-Za-z]+) +)?(\/.*)$/s.exec(text.trim()) ?? [];
  if (target !== undefined && (method !== undefined || /^\/[\w.]+\.[\w.]+\/\w+$/.test(target))) {
    return { method: method?.toUpperCase(), target };
  }
  throw new Failure("usage", `${JSON.stringify(text)} is not a request`, {
    expected:
      "'METHOD /PATH', e.g. 'POST /v1.51/build?t=app', or the path of a gRPC call, /moby.buildkit.v1.Control/Solve",
  });
}

async function bodyOf(file: string | undefined): Promise<Buffer> {
  if (file === undefined) return Buffer.alloc(0);
  try {
    return await readFile(file);
  } catch (error) {
    throw new Failure("usage", `${file} (--body) cannot be read: ${messageOf(error)}`, {
      expected: "a file that this user may read",
      hint: "Check the path.",
      cause: error,
    });
  }
}
