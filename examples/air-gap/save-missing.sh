#!/bin/sh
# Writes images of this engine to a folder, for instance on a USB stick, without what the engine on the other side has: an archive for each.
#
#   ./save-missing.sh /media/stick/have.json /media/stick app:v2 [IMAGE…]
#
# have.json says what is there: docker-over-ssh list > /media/stick/have.json, on the other side; or from here, docker-over-ssh list ssh://HOST.
set -eu

have=${1:?file that docker-over-ssh list has written}
folder=${2:?folder}
shift 2
: "${1:?image}"

for image; do
  docker-over-ssh push --to "oci-archive:$folder/$(echo "$image" | tr / _ | tr : -).part.tar" --have "$have" "$image"
done
