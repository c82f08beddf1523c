import type { BuildOutputEvent } from "../../../src/output/build-events.ts";

/** An event, and its time in ms since the build began. */
export type Scripted = [at: number, event: BuildOutputEvent];

/** The start of the build on the builder's clock, which may differ from the clock of this machine. */
export const START = 1_700_000_000_000;

const step = (at: number, id: string, name: string, more: object = {}): Scripted => [
  at,
  { type: "build-step", step: id, name, ...more },
];
const log = (at: number, id: string, text: string, stream: "stdout" | "stderr" = "stdout"): Scripted => [
  at,
  { type: "build-log", step: id, stream, text },
];

const DEFINITION = "[internal] load build definition from Dockerfile";
const BASE = "[build 1/4] FROM docker.io/library/node:22@sha256:5f2a";
const COPY = "[build 2/4] COPY package.json package-lock.json ./";
const INSTALL = "[build 3/4] RUN npm ci --no-audit --no-fund && npm cache clean --force";
const ASSETS = "[assets 1/1] RUN make assets";
const BUILD = "[build 4/4] RUN npm run build";
const LAYER = "sha256:c6a83fedfae6ed8a4f5f7cbb6a7b6f1c1ec3d86fea8cb9e5ba2e5e6673fde9f6";

/** A build with a cached step, a download, two parallel steps, hostile output and, unless it succeeds, a step that fails. */
export function scriptedBuild(succeeds: boolean): Scripted[] {
  const end = { started: START + 2600, completed: START + 4000 };
  const failure = { error: 'process "/bin/sh -c npm run build" did not complete successfully: exit code: 2' };
  const events: Scripted[] = [
    ...[DEFINITION, BASE, COPY, INSTALL, ASSETS, BUILD].map((name, index) => step(0, `s${index}`, name)),
    step(0, "s0", DEFINITION, { started: START }),
    [
      20,
      {
        type: "build-progress",
        step: "s0",
        id: "transferring dockerfile:",
        current: 312,
        total: 0,
        started: START,
        completed: START + 20,
      },
    ],
    step(40, "s0", DEFINITION, { started: START, completed: START + 40 }),
    step(60, "s1", BASE, { started: START + 60 }),
    ...Array.from({ length: 9 }, (_, index): Scripted => [
      100 + index * 100,
      {
        type: "build-progress",
        step: "s1",
        id: LAYER,
        current: index * 3_400_000,
        total: 28_230_000,
        started: START + 100,
      },
    ]),
    [
      1000,
      {
        type: "build-progress",
        step: "s1",
        id: LAYER,
        current: 28_230_000,
        total: 28_230_000,
        started: START + 100,
        completed: START + 1000,
      },
    ],
    step(1040, "s1", BASE, { started: START + 60, completed: START + 1040 }),
    step(1060, "s2", COPY, { started: START + 1060, completed: START + 1060, isCached: true }),
    step(1080, "s3", INSTALL, { started: START + 1080 }),
    step(1100, "s4", ASSETS, { started: START + 1100 }),
    ...Array.from({ length: 12 }, (_, index): Scripted =>
      log(1100 + index * 100, "s3", `npm http fetch GET 200 https://packages.example.com/package-${index}\n`),
    ),
    log(1300, "s4", "\u001b[32mcompiling\u001b[0m 写真.png "),
    log(
      1400,
      "s4",
      "and icons\n\u001b]0;your terminal is mine\u0007\u001b[2J\u001b[1;1Hroot@host:~# \u001b[8mhidden\u001b[0m\n",
    ),
    log(1500, "s4", "  10%\r  55%\r 100%\r\n"),
    log(2400, "s3", "npm warn deprecated glob@7.2.3\nadded 412 packages in 1s\n", "stderr"),
    step(2500, "s3", INSTALL, { started: START + 1080, completed: START + 2500 }),
    step(2550, "s4", ASSETS, { started: START + 1100, completed: START + 2550 }),
    step(2600, "s5", BUILD, { started: START + 2600 }),
    log(2700, "s5", "> app@2.0.0 build\n> tsc && vite build\n"),
    ...Array.from({ length: 9 }, (_, index): Scripted =>
      log(
        2800 + index * 100,
        "s5",
        `src/page-${index}.ts(3,7): error TS2322: Type 'string' is not assignable to type 'number'.\n`,
      ),
    ),
    ...(succeeds ? [] : [log(3900, "s5", "npm error Lifecycle script `build` failed", "stderr")]),
    step(4000, "s5", BUILD, succeeds ? end : { ...end, ...failure }),
    [
      4000,
      { type: "build-warning", text: "JSONArgsRecommended: JSON arguments recommended for CMD (line 9)", details: [] },
    ],
  ];
  return events.toSorted(([one], [other]) => one - other);
}
