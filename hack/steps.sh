# Runs the steps of a script, and continues after a failure, so that one run shows all failures. A
# script that sources this file sets label, the prefix of messages, and calls finish at the end.

steps=0
failed=()

# step NAME COMMAND...: runs the command.
step() {
  local name=$1 started=$SECONDS
  shift
  steps=$((steps + 1))
  echo "$label: $name"
  if "$@"; then
    echo "$label: $name: ok, $((SECONDS - started)) s"
  else
    failed+=("$name")
    echo "$label: $name: FAILED, $((SECONDS - started)) s" >&2
  fi
}

# finish: fails if a step has failed.
finish() {
  if ((${#failed[@]})); then
    printf '%s: %d of %d failed: %s\n' "$label" "${#failed[@]}" "$steps" "$(IFS=,; echo "${failed[*]}")" >&2
    exit 1
  fi
  echo "$label: all $steps passed in $SECONDS s"
}
