#!/bin/sh
# Sends an image of this engine to the containerd of k3s on a node, with only the layers that earlier images have not brought. The node stores
# them in the OCI layout `images` in the home folder of the user, and containerd imports the image from it.
#
#   NODE=deploy@node.example.com ./import-missing.sh app:v2
#
# The node needs docker-over-ssh: `docker-over-ssh setup ssh://deploy@node.example.com` installs it if the node has Node.
set -eu

node=${NODE:?user@node}
image=${1:?image}

docker-over-ssh push "$image" ssh "$node" "PATH=\$HOME/.local/bin:\$PATH docker-over-ssh pull --to oci:images $image"
# Both sides of the second transfer run on the node.
ssh "$node" "PATH=\$HOME/.local/bin:\$PATH; docker-over-ssh pull --to oci-archive:- $image docker-over-ssh push oci:images | sudo k3s ctr images import -"
