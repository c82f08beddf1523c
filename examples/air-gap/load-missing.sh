#!/bin/sh
# Completes the images of save-missing.sh in this engine, from its own layers and those of the archives.
#
#   ./load-missing.sh /media/stick
set -eu

folder=${1:?folder of the archives}

for archive in "$folder"/*.part.tar; do
  docker-over-ssh pull --from "oci-archive:$archive"
done
