#!/bin/sh
# Starts a container that looks to the guard like a pod's container, on an engine without Kubernetes, to try `guard --kubernetes` out.
#
#   fake-pod.sh IMAGE [COMMAND...]     prints the container's ID; IMAGE contains the programs of the command, e.g. docker:cli
#
# Run also, as root on the engine's machine: docker-over-ssh guard --kubernetes
# `docker rm -f ID` removes the pod. The guard then removes the pod's socket and images.
set -eu
kubelet=${KUBELET_DIR:-/var/lib/kubelet}
uid=${POD_UID:-$(cat /proc/sys/kernel/random/uuid)}
folder=$kubelet/pods/$uid/volumes/kubernetes.io~empty-dir/docker-socket
mkdir -p "$folder"
exec docker run --detach \
  --label "io.kubernetes.pod.uid=$uid" \
  --label "io.kubernetes.pod.name=${POD_NAME:-fake-pod}" \
  --label "io.kubernetes.pod.namespace=${POD_NAMESPACE:-default}" \
  --label io.kubernetes.container.name=main \
  ${CGROUP_PARENT:+--cgroup-parent "$CGROUP_PARENT"} \
  --volume "$folder:/var/run/docker${MOUNT_OPTIONS:+:$MOUNT_OPTIONS}" \
  --env DOCKER_HOST=unix:///var/run/docker/docker.sock \
  "$@"
