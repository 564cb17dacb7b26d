#!/usr/bin/env bash
# Installs, from Debian's packages, the clients, servers and tools that the
# tests use. Does nothing when all are there; needs root (or sudo) otherwise.
set -euo pipefail
packages=(
  gcc libc6-dev # for the race detector
  curl swaks libnet-ssleay-perl python3 openssl gnutls-bin ca-certificates procps bsdutils
  mutt neomutt alpine tmux claws-mail xvfb thunderbird libsasl2-modules isync offlineimap3 fetchmail getmail6 msmtp
  postfix dovecot-imapd dovecot-pop3d dovecot-lmtpd knot knot-dnssecutils unbound ssl-cert
  roundcube-core roundcube-sqlite3 php-cli php-cgi php-sqlite3 # of PHP no web server
  postgresql
  opendkim python3-dkim python3-authres python3-spf clamav-daemon rspamd python3-milter libmail-srs-perl
  # What the servers need that are unpacked below.
  libdb5.3 libevent-2.1-7 libgnutls-dane0 libidn12 libnsl2 libpam0g zlib1g
)
missing=()
for p in "${packages[@]}"; do
  dpkg-query -W -f='${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || missing+=("$p")
done
sudo=""
[ "$(id -u)" -eq 0 ] || sudo=sudo
# Mail servers exclude each other, and Postfix is installed: these are unpacked
# only, and run in a file system of their own (test/system/unpacked.go).
unpacked=/var/cache/waxwing-test
unpack() { # NAME PACKAGE
  [ -d "$unpacked/$1" ] && return
  echo "unpacking $2"
  local work
  work=$(mktemp -d)
  chmod 755 "$work"
  (cd "$work" && { apt-get -o APT::Sandbox::User=root download -qq "$2" || { $sudo apt-get update -qq && apt-get -o APT::Sandbox::User=root download -qq "$2"; }; } >/dev/null)
  $sudo mkdir -p "$unpacked"
  $sudo dpkg -x "$work"/*.deb "$work/tree"
  $sudo mv "$work/tree" "$unpacked/$1"
  $sudo rm -rf "$work"
}
unpack exim exim4-daemon-light
unpack opensmtpd opensmtpd
[ ${#missing[@]} -eq 0 ] && exit 0
echo "installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
$sudo apt-get update -qq
# The servers are started by the tests themselves, on loopback, never by the
# package; PostgreSQL does not even make a cluster.
made=()
trap '[ ${#made[@]} -eq 0 ] || $sudo rm -f "${made[@]}"' EXIT
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
  printf '#!/bin/sh\nexit 101\n' | $sudo tee $policy >/dev/null
  $sudo chmod 755 $policy
  made+=($policy)
fi
clusters=/etc/postgresql-common/createcluster.d
$sudo mkdir -p $clusters
printf 'create_main_cluster = false\n' | $sudo tee $clusters/waxwing.conf >/dev/null
made+=($clusters/waxwing.conf)
$sudo apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
