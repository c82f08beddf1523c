#!/bin/sh
# Builds a compose project on this machine, sends its images to a server, and starts the project on the server when all images have arrived.
#
#   DEPLOY_HOST=deploy@server.example.com [VERSION=v2] ./deploy.sh
#
# The server needs Docker with compose. After a failed transfer, the server keeps running what it ran before.
set -eu

cd "$(dirname "$0")"
host=${DEPLOY_HOST:?user@server}
# Each version has images of its own, so that compose replaces the containers of those that have changed.
export VERSION="${VERSION:-$(date -u +%Y%m%d%H%M%S)}"

docker compose --file compose.yaml build
ssh "$host" "mkdir -p shop && cat > shop/next.yaml" < compose.yaml
# .env on the server holds the version for every later `docker compose`, next to settings of the server.
version="touch .env && sed -i '/^VERSION=/d; /^\$/d' .env && (echo; echo VERSION=$VERSION) >> .env"
docker-over-ssh push --compose compose.yaml --built --keep 3 \
  --run "cd shop && mv next.yaml compose.yaml && $version && docker compose up --detach --no-build" "ssh://$host"
