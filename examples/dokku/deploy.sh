#!/bin/sh
# Builds an image here and deploys it to a dokku server, with only the layers that the server lacks sent.
#
#   APP=blog DOKKU_HOST=root@server ./deploy.sh [BUILD CONTEXT]
#
# The ssh user must be one that may use Docker on the server; dokku itself is then called there as `dokku`.
set -eu

app=${APP:?name of the dokku app}
host=${DOKKU_HOST:?user@server}
# dokku redeploys when the image's name changes, so each build gets a name of its own.
image=dokku/$app:${VERSION:-$(date -u +%Y%m%d%H%M%S)}

docker build --tag "$image" "${1:-.}"
docker-over-ssh push "$image" ssh "$host" "docker-over-ssh pull $image"
ssh "$host" "dokku git:from-image $app $image"
