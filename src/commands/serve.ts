import { SERVER_PACKAGE, serverCommand } from "./server-package.ts";

export const serveCommand = serverCommand({
  name: "serve",
  summary: `run a build service: an API, a queue and a page (in the package ${SERVER_PACKAGE})`,
  description: `Runs a service that builds images with an engine and pushes them. It is in the package ${SERVER_PACKAGE}; docs/serve.md describes it.`,
});
