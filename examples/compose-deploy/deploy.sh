#!/bin/sh
# Builds a compose project here, sends what it builds to a server, and starts it there when all images have arrived.
#
#   DEPLOY_HOST=deploy@server.example.com [VERSION=v2] ./deploy.sh
#
# The server needs Docker with compose. A failed transfer leaves what runs there as it is.
set -eu

cd "$(dirname "$0")"
host=${DEPLOY_HOST:?user@server}
# Each version has images of its own, so that compose replaces the containers of those that have changed.
export VERSION="${VERSION:-$(date -u +%Y%m%d%H%M%S)}"

docker compose --file compose.yaml build
ssh "$host" "mkdir -p shop && cat > shop/next.yaml" < compose.yaml
# .env there keeps the version for every later `docker compose`, beside settings of the server's own.
version="touch .env && sed -i '/^VERSION=/d; /^\$/d' .env && (echo; echo VERSION=$VERSION) >> .env"
docker-over-ssh push --compose compose.yaml --built --keep 3 \
  --run "cd shop && mv next.yaml compose.yaml && $version && docker compose up --detach --no-build" "ssh://$host"
