#!/bin/sh
# Loads images from the layout of save.sh into this engine. It reads only layers that the engine lacks.
#
#   ./load.sh /media/stick/images app:v2 [IMAGE…]
set -eu

layout=${1:?folder of the layout}
shift
: "${1:?image}"

for image; do
  set -- "$@" "oci:$layout:$image"
  shift
done
docker-over-ssh push "$@" -- docker-over-ssh pull
