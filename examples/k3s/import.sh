#!/bin/sh
# Sends an image of this engine to the containerd of k3s on a node. The node needs only k3s.
#
#   NODE=deploy@node.example.com ./import.sh app:v2
#
# The whole image is sent each time: `ctr images import` cannot report which layers exist. See import-missing.sh.
set -eu

node=${NODE:?user@node}
image=${1:?image}

# The archive is written after the whole image has been verified; without an archive, the import fails as well.
docker-over-ssh pull --to oci-archive:- "$image" docker-over-ssh push "$image" |
  ssh -C "$node" sudo k3s ctr images import -
