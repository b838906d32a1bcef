# Builds programs from Go modules, once, and keeps them in a cache. A script that sources this
# file must set these variables:
#    label          the prefix of messages
#    binaries       the names of the programs
#    cache, key     the directory and the name for the results
#    source         auto, or the only allowed origin: download or build
#    go             the go command
#    instead        advice for the case that the programs cannot be built

readonly progress_seconds=15

# The build settings of the caller do not apply. The programs are built from exactly the versions
# in go.sum.
export CGO_ENABLED=0 GOWORK=off GOFLAGS=-mod=readonly

say() { printf '%s: %s\n' "$label" "$*" >&2; }

fail() {
  say "$1"
  shift
  printf '  %s\n' "$@" >&2
  exit 1
}

# complete DIR: succeeds if DIR contains all programs and they are executable.
complete() {
  local binary
  for binary in "${binaries[@]}"; do
    [[ -f $1/$binary && -x $1/$binary ]] || return 1
  done
}

version_of() { # version_of MODULE GO.MOD
  awk -v module="$1" '$1 == module && !found { print $2; found = 1 }
    $1 == "require" && $2 == module && !found { print $3; found = 1 }' "$2"
}

digest() {
  if command -v sha256sum >/dev/null; then sha256sum; else shasum -a 256; fi | cut -c1-16
}

# build WHAT FOLDER OUT LDFLAGS PACKAGE...: builds programs, and reports progress regularly.
build() {
  local what=$1 folder=$2 out=$3 ldflags=$4
  shift 4
  local log=$work/$what.log started=$SECONDS said=$SECONDS pid
  (cd "$folder" && exec "$go" build -trimpath -ldflags "$ldflags" -o "$out" "$@") >"$log" 2>&1 9>&- &
  pid=$!
  builds=$pid
  while kill -0 "$pid" 2>/dev/null; do
    sleep 0.5
    if ((SECONDS - said >= progress_seconds)); then
      said=$SECONDS
      say "$what: building, $((SECONDS - started)) s"
    fi
  done
  builds=
  if ! wait "$pid"; then
    tail -n 30 "$log" >&2
    fail "$what: the build failed after $((SECONDS - started)) s; its last lines are above" \
      "It needs the Go module proxy ($("$go" env GOPROXY)), 4 GB of memory and 5 GB of disk." \
      "$instead"
  fi
  say "$what: built in $((SECONDS - started)) s"
}

# lock: one run installs while other runs wait. The kernel releases the lock when its holder ends
# for any reason. Without flock(1), two runs both do the work. That is harmless: a finished
# directory is moved into the cache as a whole.
lock() {
  local started=$SECONDS
  exec 9>"$cache/lock"
  command -v flock >/dev/null || return 0
  until flock -w "$progress_seconds" 9; do
    say "another run is installing; waiting for it, $((SECONDS - started)) s"
  done
}

# publish DIR NAME: moves a finished directory into the cache, unless another run did it first.
publish() {
  if ! complete "$cache/$2"; then
    complete "$1" || fail "the result lacks one of ${binaries[*]}: ${1}" "Report this as a bug of $0."
    rm -rf "${cache:?}/$2"
    mv "$1" "$cache/$2"
  fi
  say "installed in $cache/$2"
  printf '%s\n' "$cache/$2"
}

# cached: prints the directory of an earlier run with the same key and an allowed source.
cached() {
  local from
  for from in download build; do
    if [[ $source == auto || $source == "$from" ]] && complete "$cache/$key-$from"; then
      printf '%s\n' "$cache/$key-$from"
      return 0
    fi
  done
  return 1
}

# kubernetes_stamp VERSION: prints the linker flags that set the version of a Kubernetes program.
kubernetes_stamp() {
  local v=k8s.io/component-base/version minor=${1#v1.}
  echo "-s -w -X $v.gitVersion=$1 -X $v.gitMajor=1 -X $v.gitMinor=${minor%%.*}"
}

# begin: creates a working directory, $work, which is removed at the end. If another run has
# installed the programs in the meantime, begin prints their directory and exits.
begin() {
  mkdir -p "$cache" || fail "cannot write to $cache" "Set XDG_CACHE_HOME to a directory that can be written."
  lock
  if cached; then
    exit 0
  fi
  # Remove the directories of runs that were killed.
  find "$cache" -maxdepth 1 -name 'work.*' -mtime +0 -exec rm -rf {} +
  builds=
  work=$(mktemp -d "$cache/work.XXXXXX")
  trap cleanup EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
}

cleanup() {
  if [[ -n $builds ]]; then kill "$builds" 2>/dev/null || true; fi
  chmod -R u+w "$work" 2>/dev/null || true
  rm -rf "$work"
}
