#!/bin/sh
# Writes images of this engine to a layout, for instance on a USB stick. It writes only layers that the layout lacks.
#
#   ./save.sh /media/stick/images app:v2 [IMAGE…]
set -eu

layout=${1:?folder of the layout}
shift
: "${1:?image}"

docker-over-ssh pull --to "oci:$layout" "$@" -- docker-over-ssh push "$@" --
