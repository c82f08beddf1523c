#!/bin/sh
# Writes images of this engine to a folder, for instance on a USB stick: an archive for each, without the layers that the receiving engine has.
#
#   ./save-missing.sh /media/stick/have.json /media/stick app:v2 [IMAGE…]
#
# have.json lists those layers. Write it on the receiver with docker-over-ssh list > /media/stick/have.json, or on this side with
# docker-over-ssh list ssh://HOST.
set -eu

have=${1:?file that docker-over-ssh list has written}
folder=${2:?folder}
shift 2
: "${1:?image}"

for image; do
  docker-over-ssh push --to "oci-archive:$folder/$(echo "$image" | tr / _ | tr : -).part.tar" --have "$have" "$image"
done
