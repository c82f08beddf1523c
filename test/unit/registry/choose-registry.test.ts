import { describe, expect, test } from "vitest";
import { chooseRegistry } from "../../../src/registry/choose-registry.ts";

const LOCAL = { LOCAL_DOCKER_REGISTRY_PORT: "5000" };

describe("chooses a registry for", () => {
  test.each<[string | undefined, NodeJS.ProcessEnv, unknown]>([
    [undefined, {}, { kind: "embedded" }],
    ["container", LOCAL, { kind: "container" }],
    [undefined, { LOCAL_DOCKER_REGISTRY_PORT: "" }, { kind: "embedded" }],
    ["embedded", LOCAL, { kind: "embedded" }],
    [undefined, LOCAL, { kind: "external", host: "127.0.0.1", port: 5000 }],
    ["registry.lan:80", LOCAL, { kind: "external", host: "registry.lan", port: 80 }],
    ["[::1]:5000", {}, { kind: "external", host: "[::1]", port: 5000 }],
    [
      undefined,
      { ...LOCAL, DOCKER_REGISTRY_NGROK: "true" },
      { kind: "external", host: "127.0.0.1", port: 5000, ngrok: true },
    ],
    [
      undefined,
      { ...LOCAL, DOCKER_REGISTRY_NGROK: "2abc_token" },
      { kind: "external", host: "127.0.0.1", port: 5000, ngrok: "2abc_token" },
    ],
  ])("option %j, environment %j", (option, env, choice) => {
    expect(chooseRegistry(option, env)).toEqual(choice);
  });
});

describe("throws a usage error for", () => {
  test.each<[string | undefined, NodeJS.ProcessEnv, string]>([
    [undefined, { LOCAL_DOCKER_REGISTRY_PORT: "http" }, "LOCAL_DOCKER_REGISTRY_PORT=http names no registry"],
    [undefined, { LOCAL_DOCKER_REGISTRY_PORT: "70000" }, "names no registry"],
    ["http://localhost:5000", {}, "--registry http://localhost:5000 names no registry"],
    ["localhost:5000/x", {}, "names no registry"],
    [undefined, { DOCKER_REGISTRY_NGROK: "true" }, "no registry for it to expose"],
    ["container", { DOCKER_REGISTRY_NGROK: "true" }, "no registry for it to expose"],
  ])("option %j, environment %j", (option, env, message) => {
    expect(() => chooseRegistry(option, env)).toThrow(message);
  });
});
