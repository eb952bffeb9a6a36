# Sourced by tests/run, tests/full and tests/soak: what the tests need, installed where it is missing. Away from Debian,
# or without root, it says what to install.

VENV=build/test-venv
INTEROP=build/interop
export PATH="$PATH:/usr/sbin:/sbin" # Debian keeps named there, and a user's PATH lacks it
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 PYTHONUTF8=1
unset BLOCKLIST_AS BLOCKLIST_KEYS BLOCKLIST_PASSPHRASE_FILE BLOCKLIST_STORE BLOCKLIST_NEW_PASSPHRASE_FILE
unset BLOCKLIST_PIN_FILE BLOCKLIST_PKCS11_MODULE

say() { printf '\n== %s\n' "$*"; }

missing=()
need() { command -v "$1" >/dev/null || missing+=("$2"); }

# Python with what it needs to make an environment.
need_python() {
  python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv)
}

# What the tests start beside Python: command and Debian package.
need_programs() {
  need openssl openssl
  need named bind9
  need named-checkzone bind9-utils
  need dnssec-signzone bind9-utils
  need rndc bind9-utils
  need unbound unbound
  need kresd knot-resolver
  need pdns_recursor pdns-recursor
  need dnsmasq dnsmasq-base
  need knotd knot
  need nginx nginx
  need curl curl
  need systemd-analyze systemd
  need faketime faketime
  need softhsm2-util softhsm2
  need node nodejs
  need npm npm
  # Debian keeps the server's programs out of the PATH.
  compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || missing+=(postgresql)
  # Knot Resolver watches a policy file with this library only, and merely recommends it.
  compgen -G '/usr/lib/*/lua/5.1/_cqueues.so' >/dev/null || missing+=(lua-cqueues)
}

install_missing() {
  [ ${#missing[@]} -gt 0 ] || return 0
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "$0: these packages are missing: ${missing[*]}" >&2
    echo "$0: as root: apt-get install ${missing[*]}" >&2
    exit 1
  fi
  say "installing ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  if [ ! -e /usr/sbin/policy-rc.d ]; then # the tests start their own servers; apt shall start none
    printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
    chmod +x /usr/sbin/policy-rc.d
    trap 'rm -f /usr/sbin/policy-rc.d' EXIT
  fi
  apt-get update -qq
  apt-get install -y -qq --no-install-recommends "${missing[@]}"
  [ -z "$(trap -p EXIT)" ] || { rm -f /usr/sbin/policy-rc.d; trap - EXIT; }
}

# pip takes seconds to find that nothing changed; what was installed last is written down.
make_venv() {
  say "environment in $VENV"
  [ -x "$VENV/bin/python" ] || python3 -m venv "$VENV"
  [ "$VENV/installed" -nt pyproject.toml ] && return
  "$VENV/bin/python" -m pip install --quiet --editable '.[test]'
  touch "$VENV/installed"
}

make_interop() {
  [ "$INTEROP/node_modules/.package-lock.json" -nt tests/interop/package-lock.json ] && return # npm writes it last
  say "tuf-js in $INTEROP"
  mkdir -p "$INTEROP"
  cp tests/interop/package.json tests/interop/package-lock.json "$INTEROP"
  npm ci --prefix "$INTEROP" --ignore-scripts --no-audit --no-fund --no-update-notifier
}

# Run each argument (a function) side by side; fail if one did, with its name.
side_by_side() {
  local -A started=()
  local name failed=()
  for name; do
    "$name" & started[$name]=$!
  done
  for name; do
    wait "${started[$name]}" || failed+=("$name")
  done
  [ ${#failed[@]} -eq 0 ] || { say "failed: ${failed[*]}"; exit 1; }
}
