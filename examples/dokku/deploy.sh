#!/bin/sh
# Builds an image on this machine and deploys it to a dokku server. It sends only the layers that the server lacks.
#
#   APP=blog DOKKU_HOST=root@server ./deploy.sh [BUILD CONTEXT]
#
# The ssh user must be allowed to use Docker on the server; the script then runs `dokku` on it.
set -eu

app=${APP:?name of the dokku app}
host=${DOKKU_HOST:?user@server}
# dokku redeploys when the image's name changes, so each build gets its own name.
image=dokku/$app:${VERSION:-$(date -u +%Y%m%d%H%M%S)}

docker build --tag "$image" "${1:-.}"
docker-over-ssh push "$image" ssh "$host" "docker-over-ssh pull $image"
ssh "$host" "dokku git:from-image $app $image"
