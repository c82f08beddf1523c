#!/bin/sh
# Builds the current folder on a server that has Docker, and publishes the image from there.
set -eu

: "${HOST:?the server, as ssh knows it: deploy@server}"
: "${IMAGE:?the name of the image, with its registry: registry.example.com/team/blog}"
VERSION="${VERSION:-$(date +%Y%m%d-%H%M%S)}"

docker-over-ssh build --push -t "$IMAGE:$VERSION" "${CONTEXT:-.}" "ssh://$HOST"
echo "$IMAGE:$VERSION"
