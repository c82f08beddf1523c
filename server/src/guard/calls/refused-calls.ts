import { Refusal } from "../refusal.ts";
import { pathShape } from "./path-shape.ts";

/**
 * Calls that people try, and their effects, for the message: `POST /containers/create is not allowed here: it creates
 * …`.
 */
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
  ["POST", "/commit", "it creates an image from a container (docker commit)"],
  ["POST", "/images/create", "it pulls or imports an image on the host (docker pull, docker import)"],
  ["POST", "/images/load", "it loads images from an archive (docker load)"],
  ["GET", "/images/search", "it searches a registry from the host (docker search)"],
  ["POST", "/images/prune", "it removes the host's images (docker image prune)"],
  ["GET", "/system/df", "it shows the host's disk usage (docker system df)"],
];

/** Messages for all calls below a path */
const BELOW: readonly (readonly [path: string, does: string])[] = [
  ["/containers", "it concerns the host's containers"],
  ["/exec", "it concerns commands in containers (docker exec)"],
  ["/volumes", "it concerns the host's volumes (docker volume)"],
  ["/networks", "it concerns the host's networks (docker network)"],
  ["/plugins", "it concerns the engine's plugins, which run as root on the host (docker plugin)"],
  ["/swarm", "it concerns a swarm of hosts (docker swarm)"],
  ["/nodes", "it concerns a swarm of hosts (docker node)"],
  ["/services", "it runs containers on a swarm (docker service)"],
  ["/tasks", "it concerns containers on a swarm (docker service)"],
  ["/secrets", "it concerns secrets of a swarm (docker secret)"],
  ["/configs", "it concerns configurations of a swarm (docker config)"],
  ["/distribution", "it queries a registry from the host (docker manifest)"],
];

const SHAPES = KNOWN.map(([method, path, does]) => ({ method, shape: pathShape(path), does }));

const ALLOWED =
  "Allowed are docker build, and docker images, history, inspect, tag, rmi, push and save of images that were built here";

/**
 * `docker inspect NAME` requests an object of each kind in turn, and continues with the next kind only after a 404. A
 * name may contain slashes.
 */
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

/**
 * Returns the answer to a call that is not in the table: 403 `call.refused`, or 404 if the docker command tries another
 * call after that.
 */
export function refusedCall(method: string, path: string): Refusal {
  for (const { kind, shape } of method === "GET" ? INSPECTED : []) {
    const name = shape.match(path)?.["name"];
    if (name !== undefined) {
      return new Refusal("call.refused", `No such ${kind}: ${name}. This guard offers no ${kind}s`, {
        statusCode: 404,
      });
    }
  }
  const found =
    SHAPES.find((known) => known.method === method && known.shape.match(path) !== undefined)?.does ??
    BELOW.find(([start]) => path === start || path.startsWith(`${start}/`))?.[1];
  const why = found === undefined ? "builds do not need this call" : found;
  return new Refusal("call.refused", `${method} ${path} is not allowed here: ${why}. ${ALLOWED}`);
}
