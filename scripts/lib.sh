# shellcheck shell=bash
# Words and steps that the scripts share. Sourced, never run; the caller has set -euo pipefail and stands in the root
# of the project.

say() { printf '%s\n' "$*"; }
step() { printf '\n==> %s\n' "$*"; }

# fail STATUS DOING WHERE FOUND NEXT: the four parts of an error message (docs/exit-codes.md has the statuses).
fail() {
  local status=$1
  printf '%s: %s: %s; %s\n' "$2" "$3" "$4" "$5" >&2
  exit "$status"
}

# The leading comment of a script is its help.
print_help() { sed -n '2,/^[^#]/{s/^# \{0,1\}//p}' "$1"; }

n_jobs() { printf '%s' "${NARU_JOBS:-$(nproc)}"; }

# configure PRESET: each time, as the preset may have changed; where nothing did it takes no time.
configure() {
  local log
  log=$(cmake --preset "$1" 2>&1) || {
    printf '%s\n' "$log" >&2
    fail 70 "configuring build/$1" "CMakeLists.txt" "cmake stopped, see above" \
      "run ./scripts/setup, or remove build/$1 and try again"
  }
}

# compile PRESET [TARGET...]
compile() {
  local preset=$1
  shift
  local targets=()
  [[ $# -gt 0 ]] && targets=(--target "$@")
  cmake --build "build/$preset" --parallel "$(n_jobs)" "${targets[@]}" ||
    fail 70 "compiling" "build/$preset" "the compiler stopped, see above" "mend what it names and run the script again"
}
