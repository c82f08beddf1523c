#!/bin/sh
# Sends images of this engine to the engine in the pod of dind.yaml.
#
#   ./push.sh app:v2 [IMAGE…]
set -eu

: "${1:?image}"
kubectl apply --filename "$(dirname "$0")/dind.yaml"
kubectl wait --for=condition=Ready --timeout=180s --namespace=builds pod/dind
docker-over-ssh push "$@" kubectl://builds/dind
