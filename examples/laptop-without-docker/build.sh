#!/bin/sh
# Builds a folder, the current one by default, on a server that has Docker, and pushes the image from the server to its registry.
set -eu

: "${HOST:?the server, as ssh knows it: deploy@server}"
: "${IMAGE:?the name of the image, with its registry: registry.example.com/team/blog}"
VERSION="${VERSION:-$(date +%Y%m%d-%H%M%S)}"

docker-over-ssh build --push -t "$IMAGE:$VERSION" "${1:-.}" "ssh://$HOST"
echo "$IMAGE:$VERSION"
