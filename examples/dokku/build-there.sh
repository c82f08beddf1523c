#!/bin/sh
# Builds the current folder on the dokku server, and deploys it. Only files that have changed since the last build are sent.
#
#   APP=blog DOKKU_HOST=root@server ./build-there.sh [BUILD CONTEXT]
#
# The ssh user must be allowed to use Docker on the server; the script then runs `dokku` on it.
set -eu

app=${APP:?name of the dokku app}
host=${DOKKU_HOST:?user@server}
# dokku redeploys when the image's name changes, so each build gets its own name.
image=dokku/$app:${VERSION:-$(date -u +%Y%m%d%H%M%S)}

docker-over-ssh build -t "$image" "${1:-.}" "ssh://$host"
ssh "$host" "dokku git:from-image $app $image"
