import type { FastifyInstance } from "fastify";

/**
 * Returns a function that returns the methods of an address: none for an address that does not exist. Call it before
 * routes are added.
 */
export function knownMethods(app: FastifyInstance): (url: string) => readonly string[] {
  const routes: { parts: readonly string[]; methods: readonly string[] }[] = [];
  app.addHook("onRoute", ({ url, method }) => {
    routes.push({ parts: url.split("/"), methods: [method].flat() });
  });
  return (url) => {
    const parts = (url.split("?")[0] ?? "").split("/");
    const methods = routes.filter((route) => matches(route.parts, parts)).flatMap((route) => route.methods);
    return [...new Set(methods)].toSorted();
  };
}

function matches(route: readonly string[], parts: readonly string[]): boolean {
  if (route.length !== parts.length) return false;
  return route.every((part, index) => (part.startsWith(":") ? parts[index] !== "" : part === parts[index]));
}
