#!/usr/bin/env bash
# Makes the base of our image, a minimal Debian, where no image registry can be reached: debootstrap, then `docker import`.
# Needs root and debootstrap. Where a registry is at hand, name a pinned digest instead: make image BASE_IMAGE=debian@sha256:...
set -euo pipefail

suite=${SUITE:-bookworm}
mirror=${MIRROR:-} # debootstrap's own default, unless another one is named
image=${1:-test-infra-base:$suite}

fail() {
  printf 'base image: %s\n' "$1" >&2
  exit 3
}

if docker image inspect "$image" >/dev/null 2>&1; then
  exit 0
fi
[ "$(id -u)" = 0 ] || fail "debootstrap needs root; run it as root once, or name a base: make image BASE_IMAGE=debian@sha256:..."
command -v debootstrap >/dev/null || fail "debootstrap is missing: apt-get install -y debootstrap"

root=$(mktemp -d /var/tmp/base-image.XXXXXX)
trap 'rm -rf "$root"' EXIT
log=$root.log
printf 'base image: making %s from packages of %s (a minute, once)\n' "$image" "$suite" >&2
# ca-certificates: drivers that speak to object stores need them, and no later layer should fetch twice.
debootstrap --variant=minbase --include=ca-certificates "$suite" "$root" ${mirror:+"$mirror"} >"$log" 2>&1 ||
  { tail -20 "$log" >&2; fail "debootstrap failed; its log is $log"; }
rm -f "$log"

# What the official slim image leaves out, too.
rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/* "$root"/var/log/*.log \
  "$root"/usr/share/doc/* "$root"/usr/share/man/* "$root"/usr/share/locale/* "$root"/usr/share/info/*
tar -C "$root" --numeric-owner --exclude=./dev --exclude=./proc --exclude=./sys -c . |
  docker import --change 'CMD ["/bin/sh"]' - "$image" >/dev/null
printf 'base image: %s\n' "$(docker image inspect --format '{{.Id}} {{.Size}} bytes' "$image")" >&2
