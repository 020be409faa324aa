# shellcheck shell=bash
# Installs Debian packages that are missing. Sourced by ./run, ./test and scripts/services: each says `need PACKAGE REASON`
# for what it did not find, then calls `install_needed` once.

needed_packages=()

need() {
  echo "Missing: $1 ($2)"
  needed_packages+=("$1")
}

# Runs a command as root: as it is when we are root, else by sudo, which may ask for your password.
as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    echo "Installing needs root, and there is no sudo. As root, run: $*" >&2
    exit 1
  fi
}

install_needed() {
  [ ${#needed_packages[@]} -gt 0 ] || return 0
  if ! command -v apt-get >/dev/null; then
    echo "This system has no apt-get. Please install these yourself (Debian's names), then run again: ${needed_packages[*]}" >&2
    exit 1
  fi
  echo "Installing with apt-get: ${needed_packages[*]}"
  local log
  log=$(mktemp)
  if as_root apt-get update -qq >"$log" 2>&1 &&
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${needed_packages[@]}" >>"$log" 2>&1; then
    rm -f "$log"
    needed_packages=()
  else
    tail -n 30 "$log" >&2
    echo "apt-get could not install ${needed_packages[*]} (its last lines are above; all of them in $log)." >&2
    exit 1
  fi
}

# What building topk takes beside Rust: librdkafka and SQLite are C, compiled from source into the binary.
need_build_tools() {
  if ! command -v cargo >/dev/null; then
    # A shell that has not read its profile since rustup ran does not see it.
    if [ -x "$HOME/.cargo/bin/cargo" ]; then
      PATH=$HOME/.cargo/bin:$PATH
    else
      echo "Rust is not installed: there is no cargo on PATH. Install it (https://rustup.rs), then run this again." >&2
      exit 1
    fi
  fi
  command -v cc >/dev/null || need gcc "compiles librdkafka and SQLite"
  command -v c++ >/dev/null || need g++ "librdkafka does not build without a C++ compiler"
  command -v make >/dev/null || need make "builds librdkafka"
  [ -e /usr/include/stdlib.h ] || need libc6-dev "the C library's headers"
}
