#!/bin/sh
# Sends an image of this engine into the containerd of k3s on a node. The node needs nothing besides k3s.
#
#   NODE=deploy@node.example.com ./import.sh app:v2
#
# The whole image is sent each time: `ctr images import` cannot say which layers are there. See import-missing.sh.
set -eu

node=${NODE:?user@node}
image=${1:?image}

# The archive is written when all of the image has been verified; without it, the import fails as well.
docker-over-ssh pull --to oci-archive:- "$image" docker-over-ssh push "$image" |
  ssh -C "$node" sudo k3s ctr images import -
