import { SERVER_PACKAGE, serverCommand } from "./server-package.ts";

export const guardCommand = serverCommand({
  name: "guard",
  summary: `give sockets of an engine on which one can build, and nothing else (in the package ${SERVER_PACKAGE})`,
  description: `Serves sockets that speak the Docker Engine API, one for each tenant, who can build, list, tag, remove and push their own images there, and nothing else. It is in the package ${SERVER_PACKAGE}; docs/guard.md describes it.`,
});
