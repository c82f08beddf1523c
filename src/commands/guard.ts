import { SERVER_PACKAGE, serverCommand } from "./server-package.ts";

export const guardCommand = serverCommand({
  name: "guard",
  summary: `provide sockets of an engine that allow only builds (in the package ${SERVER_PACKAGE})`,
  description: `Serves sockets that speak the Docker Engine API, one for each tenant, who can build, list, tag, inspect, save, remove and push their own images, and do nothing else. It is in the package ${SERVER_PACKAGE}; docs/guard.md describes it.`,
});
