#!/bin/sh
# Creates the account that builds, on a machine with an engine and docker-over-ssh. Run it as root:
#
#   ALLOW='team/*' REGISTRY=registry.example.com ./setup.sh KEY.pub
#
# Whoever has the key can do one thing: build images whose names match ALLOW, and have them pushed to REGISTRY. For a second key with other
# names, run it again. Afterwards, log in to the registry as the account: su factory -c 'docker login registry.example.com'
set -eu

key=${1:?KEY.pub: the public key of whoever may send archives}
allow=${ALLOW:?"names that the key may build, for instance 'team/*'"}
registry=${REGISTRY:-}
account=${ACCOUNT:-factory}

case $allow$registry in
  *[!A-Za-z0-9.:/_*-]*) echo "ALLOW and REGISTRY may have letters, digits and .:/_*- only" >&2; exit 2 ;;
esac

id "$account" >/dev/null 2>&1 || useradd --create-home --shell /bin/sh --groups docker "$account"
ssh=$(getent passwd "$account" | cut -d: -f6)/.ssh

# No terminal, no forwarding (restrict), and this command instead of any other.
command="docker-over-ssh build --forced --allow '$allow'${registry:+ --push $registry}"
command="$command --keep 5 --cache-limit 20g --jobs 2 --max-time 30m"
install -d -m 700 -o "$account" "$ssh"
printf 'restrict,command="%s" %s\n' "$command" "$(head -n 1 "$key")" >>"$ssh/authorized_keys"
chown "$account" "$ssh/authorized_keys"
chmod 600 "$ssh/authorized_keys"
