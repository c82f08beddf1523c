import { readFileSync } from "node:fs";
import { parse } from "yaml";
import { example } from "./stand-ins.ts";

/** A script of a CI file, with the variables that the file sets for it. */
export interface Step {
  script: string;
  env?: Record<string, string>;
}

const read = (name: string): unknown => parse(readFileSync(example(name), "utf8"));

/** @param values the values of the expressions between `${{` and `}}`. Other expressions become empty, as in GitHub Actions */
export function readGithubSteps(name: string, values: Record<string, string>): Step[] {
  interface Workflow {
    jobs: { deploy: { env: Record<string, string>; steps: { run?: string; env?: Record<string, string> }[] } };
  }
  const evaluate = (text: string): string =>
    text.replaceAll(/\$\{\{ (.*?) \}\}/g, (_, expression: string) => values[expression] ?? "");
  const { env: common, steps } = (read(name) as Workflow).jobs.deploy;
  return steps.flatMap(({ run, env }) => {
    if (run === undefined) return [];
    const entries = Object.entries({ ...common, ...env }).map(([key, value]) => [key, evaluate(value)]);
    return [{ script: evaluate(run), env: Object.fromEntries(entries) as Record<string, string> }];
  });
}

/** @param values the values of the variables in `variables` */
export function readGitlabSteps(name: string, values: Record<string, string>): Step[] {
  interface Pipeline {
    deploy: { variables: Record<string, string>; before_script: string[]; script: string[] };
  }
  const { variables, before_script: before, script } = (read(name) as Pipeline).deploy;
  const evaluate = (text: string): string =>
    text.replaceAll(/\$(\w+)/g, (_, variable: string) => values[variable] ?? "");
  const { DOCKER_HOST: _, ...others } = variables; // the test has no engine
  const env = Object.fromEntries(Object.entries(others).map(([key, value]) => [key, evaluate(value)]));
  return [{ script: [...before, ...script].join("\n"), env }];
}

export function readCircleSteps(name: string): Step[] {
  interface Config {
    jobs: { deploy: { steps: (string | { run: { command: string } })[] } };
  }
  const { steps } = (read(name) as Config).jobs.deploy;
  return steps.flatMap((step) => (typeof step === "string" ? [] : [{ script: step.run.command }]));
}
