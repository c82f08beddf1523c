import { Refusal } from "../refusal.ts";
import { pathShape } from "./path-shape.ts";

/** Calls that people try, and what they do, for the message: `POST /containers/create is not allowed here: it creates …`. */
const KNOWN: readonly (readonly [method: string, path: string, does: string])[] = [
  [
    "POST",
    "/containers/create",
    "it creates a container, as docker run does, which can be given the host's files and rights",
  ],
  ["POST", "/containers/{id}/start", "it starts a container, as docker run does"],
  ["POST", "/containers/{id}/exec", "it runs a command in a container (docker exec)"],
  ["POST", "/exec/{name}", "it runs a command in a container (docker exec)"],
  ["GET", "/containers/{id}/archive", "it reads files out of a container (docker cp)"],
  ["HEAD", "/containers/{id}/archive", "it looks for files in a container (docker cp)"],
  ["PUT", "/containers/{id}/archive", "it writes files into a container (docker cp)"],
  ["GET", "/containers/{id}/export", "it reads all files of a container (docker export)"],
  ["POST", "/containers/{id}/attach", "it joins a container's input and output (docker attach)"],
  ["GET", "/containers/{id}/attach/ws", "it joins a container's input and output (docker attach)"],
  ["GET", "/containers/{id}/logs", "it reads what a container prints (docker logs)"],
  ["GET", "/containers/json", "it lists the host's containers (docker ps)"],
  ["POST", "/containers/prune", "it removes the host's containers (docker container prune)"],
  ["POST", "/commit", "it makes an image of a container (docker commit)"],
  ["POST", "/images/create", "it pulls or imports an image on the host (docker pull, docker import)"],
  ["POST", "/images/load", "it loads images from an archive (docker load)"],
  ["GET", "/images/search", "it searches a registry from the host (docker search)"],
  ["POST", "/images/prune", "it removes the host's images (docker image prune)"],
  ["GET", "/system/df", "it tells what the host stores (docker system df)"],
];

/** The same for all calls below a path */
const BELOW: readonly (readonly [path: string, does: string])[] = [
  ["/containers", "it is about the host's containers"],
  ["/exec", "it is about commands in containers (docker exec)"],
  ["/volumes", "it is about the host's volumes (docker volume)"],
  ["/networks", "it is about the host's networks (docker network)"],
  ["/plugins", "it is about the engine's plugins, which run as root on the host (docker plugin)"],
  ["/swarm", "it is about a swarm of hosts (docker swarm)"],
  ["/nodes", "it is about a swarm of hosts (docker node)"],
  ["/services", "it runs containers on a swarm (docker service)"],
  ["/tasks", "it is about containers on a swarm (docker service)"],
  ["/secrets", "it is about secrets of a swarm (docker secret)"],
  ["/configs", "it is about configurations of a swarm (docker config)"],
  ["/distribution", "it asks a registry from the host (docker manifest)"],
];

const SHAPES = KNOWN.map(([method, path, does]) => ({ method, shape: pathShape(path), does }));

const ALLOWED =
  "Allowed are docker build, and docker images, history, inspect, tag, rmi, push and save of images that were built here";

/** `docker inspect NAME` asks for an object of each kind in turn, and goes on to the next kind only after a 404. A name may contain slashes. */
const INSPECTED = [
  "/containers/{name}/json",
  "/networks/{name}",
  "/volumes/{name}",
  "/services/{name}",
  "/tasks/{name}",
  "/nodes/{name}",
  "/plugins/{name}/json",
  "/secrets/{name}",
  "/configs/{name}",
].map((path) => ({ kind: /^\/(\w+)s\//.exec(path)?.[1] ?? "", shape: pathShape(path) }));

/** The answer to a call that is not in the table: 403 `call.refused`, or 404 where a docker command then tries another call. */
export function refusedCall(method: string, path: string): Refusal {
  for (const { kind, shape } of method === "GET" ? INSPECTED : []) {
    const name = shape.match(path)?.["name"];
    if (name !== undefined) {
      return new Refusal("call.refused", `No such ${kind}: ${name}. No ${kind} can be used here`, { statusCode: 404 });
    }
  }
  const found =
    SHAPES.find((known) => known.method === method && known.shape.match(path) !== undefined)?.does ??
    BELOW.find(([start]) => path === start || path.startsWith(`${start}/`))?.[1];
  const why = found === undefined ? "it is not one of the calls that builds need" : found;
  return new Refusal("call.refused", `${method} ${path} is not allowed here: ${why}. ${ALLOWED}`);
}
