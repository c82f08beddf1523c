/** Writes docs/serve-api.md and docs/serve-api.openapi.json from the routes of the server: `npm run docs`. A unit test fails if one is out of date. */
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { createApp } from "../server/src/api/app.ts";
import { Metrics } from "../server/src/api/metrics/metrics.ts";
import type { JobStore } from "../server/src/store/job-store.ts";
import { fieldRows, tableRow, typeOf, type ApiDocument, type Operation } from "./serve/document.ts";
import { EXAMPLES } from "./serve/examples.ts";

const at = (file: string): string => fileURLToPath(new URL(`../docs/${file}`, import.meta.url));

const INTRODUCTION = `# The API of \`docker-over-ssh serve\`

<!-- Written by \`npm run docs\` from the routes of the server: change the descriptions there. -->

[serve.md](serve.md) describes how to run the server, and what happens to a build. This page describes each call.
[serve-api.openapi.json](serve-api.openapi.json) has the same content as OpenAPI 3.1; a server provides it at \`/api/v2/openapi.json\`.

In the examples, \`$server\` is the server's address, e.g. \`http://127.0.0.1:8080\`, \`$id\` the ID of a build, and \`auth\` a file with the line
\`Authorization: Bearer TOKEN\`. A server without tokens, on loopback, needs no \`-H @auth\`. The server sends errors as
[problem details](#problem), \`application/problem+json\`, whose \`code\` programs may compare; version 1 answers with \`{"Error": "…"}\`.
Version 2 rejects unknown fields, and names them.
`;

/** Returns the current and the expected text of both files. */
export async function readServeFiles(): Promise<{ file: string; is: string; shouldBe: string }[]> {
  const document = await apiDocument();
  const files = {
    "serve-api.openapi.json": `${JSON.stringify(document, null, 2)}\n`,
    "serve-api.md": page(document),
  };
  return Object.entries(files).map(([name, shouldBe]) => {
    const file = at(name);
    return { file, is: readFileSync(file, { encoding: "utf8", flag: "a+" }), shouldBe };
  });
}

/** A store that is never queried, because the document is created only from the routes. */
async function apiDocument(): Promise<ApiDocument> {
  const watch: JobStore["watch"] = () => ({ [Symbol.dispose]: () => {} });
  const store = { watch } as unknown as JobStore;
  const app = createApp({
    store,
    metrics: new Metrics(store),
    access: { needsToken: true, client: () => undefined },
    settings: { upload: { maxBody: 1, idle: 1 }, maxQueued: 1 },
    hasWebhookSecret: true,
  });
  await app.ready();
  const document = JSON.parse(JSON.stringify(app.swagger())) as ApiDocument;
  await app.close();
  return document;
}

function page(document: ApiDocument): string {
  const calls = Object.entries(document.paths).flatMap(([path, operations]) =>
    Object.entries(operations).map(([method, operation]) => ({ call: `${method.toUpperCase()} ${path}`, operation })),
  );
  const without = calls.filter(({ call }) => !EXAMPLES.has(call)).map(({ call }) => call);
  if (without.length > 0) throw new Error(`scripts/serve/examples.ts has no example of ${without.join(", ")}`);
  const sorted = [...EXAMPLES].flatMap(([call, example]) => {
    const operation = calls.find((one) => one.call === call)?.operation;
    return operation === undefined ? [] : [{ call, example, operation }];
  });
  const sections = document.tags.map(({ name, description }) => {
    const own = sorted.filter(({ operation }) => operation.tags.includes(name));
    return [`## ${description}\n`, ...own.map(callSection)].join("\n");
  });
  const schemas = Object.entries(document.components.schemas).map(([name, schema]) => {
    const text = schema.description === undefined ? "" : `${sentence(schema.description)}\n\n`;
    return `### ${name}\n\n${text}${table(["field", "type", ""], fieldRows(schema))}`;
  });
  return [INTRODUCTION, ...sections, `## Objects\n\n${schemas.join("\n")}`].join("\n");
}

function callSection({ call, example, operation }: { call: string; example: string; operation: Operation }): string {
  const { summary, description, parameters = [], requestBody, responses } = operation;
  const rows = parameters.map(({ name, in: place, schema, required, description = "" }) =>
    tableRow(`\`${name}\``, place, `${typeOf(schema)}${required === true ? "" : ", optional"}`, description),
  );
  return [
    `### ${summary}\n\n\`${call}\`\n`,
    ...(description === undefined ? [] : [`${description}\n`]),
    ...(rows.length === 0 ? [] : [table(["parameter", "in", "type", ""], rows)]),
    ...(requestBody === undefined ? [] : [bodies(requestBody.content)]),
    table(["answer", "type", "body", ""], Object.entries(responses).flatMap(answerRows)),
    `\`\`\`sh\n${example}\n\`\`\`\n`,
  ].join("\n");
}

function bodies(content: NonNullable<Operation["requestBody"]>["content"]): string {
  const described = Object.entries(content).filter(([, { schema }]) => Object.keys(schema ?? {}).length > 0);
  const plain = Object.keys(content).filter((type) => described.every(([other]) => other !== type));
  const rows = described.map(([type, { schema = {} }]) => tableRow(`\`${type}\``, typeOf(schema)));
  if (plain.length > 0) rows.push(tableRow(plain.map((type) => `\`${type}\``).join(", "), "the archive"));
  return table(["body", ""], rows);
}

function answerRows([status, { description, content = {} }]: [string, Operation["responses"][string]]): string[] {
  const text = description === "Default Response" ? "" : description;
  const types = Object.entries(content);
  if (types.length === 0) return [tableRow(status, "", "", text)];
  return types.map(([type, { schema = {} }]) => tableRow(status, `\`${type}\``, typeOf(schema), text));
}

function table(heads: readonly string[], rows: readonly string[]): string {
  return [tableRow(...heads), `|${heads.map(() => "---").join("|")}|`, ...rows, ""].join("\n");
}

const sentence = (text: string): string => (/[.:]$/.test(text) ? text : `${text}.`);

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  for (const { file, shouldBe } of await readServeFiles()) writeFileSync(file, shouldBe);
}
