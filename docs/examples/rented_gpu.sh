#!/usr/bin/env bash
set -euo pipefail

usage() {
  cat <<'TEXT'
Runs a study on a rented machine with a GPU and brings its results home (docs/gpu.md has the whole way).

    rented_gpu.sh start  HOST STUDY IMAGES [WORD ...]   send, install, check, run; again: go on where it was
    rented_gpu.sh status HOST                           what is done, and the last lines of the log
    rented_gpu.sh fetch  HOST FOLDER                    bring home what is finished, while it runs or afterwards
    rented_gpu.sh stop   HOST                           end the run; what is finished is kept

HOST    what ssh takes: root@203.0.113.7, or a name of your ~/.ssh/config
STUDY   a study file, or the name of a study of the project
IMAGES  the folder for data.root, or - where the study needs none (data.source: digits, or data.url)
WORD    further words of `python -m sweeps.run`, such as study.seeds=[0,1,2] or run.keep=best
FOLDER  holds studies.db, mlruns/ and reports/ at home; only this command may write there

Read from the environment:
SSH     ssh and its options (default: ssh), such as SSH="ssh -p 12345 -i key"
DEVICE  cuda (default), cuda:1, or cpu for a rehearsal
PYTHON  the machine's Python, 3.11 or newer (default: what python3 is there)
WORK    the folder on the machine, below the login's home (default: resnet-sweeps)
TEXT
}

die() {
  printf 'rented_gpu.sh: %s\n' "$*" >&2
  exit 2
}

SSH=${SSH:-ssh}
DEVICE=${DEVICE:-cuda}
PYTHON=${PYTHON:-}
WORK=${WORK:-resnet-sweeps}
PROJECT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
read -ra ssh_words <<<"$SSH"

# remote WORD...: runs the script on stdin in bash on the machine, with these words as its arguments. Callers wrap their
# script in a function, which bash reads whole: commands such as apt-get would else read the rest of it from stdin.
remote() {
  "${ssh_words[@]}" "$host" "bash -s -- $(printf '%q ' "$@")"
}

# A name that ssh, rsync of any version and the machine's shell read alike.
plain_name() {
  basename "$1" | tr -c 'A-Za-z0-9._\n-' '_'
}

send() {
  rsync -rlptz --delete -e "$SSH" "$@"
}

prepare_machine() {
  remote "$WORK" "$DEVICE" "$PYTHON" <<'REMOTE'
main() {
  set -euo pipefail
  local work=$1 device=$2 asked=${3:-python3} python='' name
  mkdir -p "$work"/{project,studies,images,cache,out}
  cd "$work"
  if ! flock --nonblock run.lock true; then
    echo "A study is running on this machine already; look with \`status\`, end it with \`stop\`." >&2
    exit 2
  fi
  if [[ $device != cpu ]] && ! nvidia-smi --query-gpu=name,memory.total,driver_version --format=csv,noheader; then
    echo "The machine must have an NVIDIA GPU and its driver, but nvidia-smi does not answer." >&2
    exit 2
  fi
  new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }
  local names=("$asked")  # one that was asked for is not replaced by another
  [[ -n $3 ]] || names+=(python3.13 python3.12 python3.11)
  for name in "${names[@]}"; do
    if new_enough "$name"; then python=$name && break; fi
  done
  if [[ -z $python ]]; then
    echo "The machine must have Python 3.11 or newer, but $asked is: $("$asked" --version 2>&1 || true). Take an image" \
      "of Ubuntu 24.04 or newer, or install a Python there and give PYTHON=/its/path." >&2
    exit 2
  fi
  local lacks=()
  command -v rsync >/dev/null || lacks+=(rsync)
  "$python" -c 'import ensurepip, venv' 2>/dev/null ||
    lacks+=("python$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')-venv")
  if ((${#lacks[@]})); then
    local as_root=()
    [[ $(id -u) == 0 ]] || as_root=(sudo -n)
    echo "installing ${lacks[*]}"
    if ! { "${as_root[@]}" apt-get update -q && "${as_root[@]}" apt-get install -yq "${lacks[@]}"; } >apt.log 2>&1; then
      tail -n 5 apt.log >&2
      echo "The machine must have ${lacks[*]}, but apt-get could not install them; install them there." >&2
      exit 2
    fi
  fi
  command -v "$python" >python_path
}
main "$@" </dev/null
REMOTE
}

install_project() {
  remote "$WORK" "$DEVICE" <<'REMOTE'
main() {
  set -euo pipefail
  cd "$1"
  local device=$2
  [[ -x venv/bin/python ]] || "$(cat python_path)" -m venv venv
  if ! cmp -s project/pyproject.toml venv/installed.toml; then
    echo "installing the project and torch; the CUDA build of torch is several GB"
    venv/bin/python -m pip install --quiet --editable ./project
    cp project/pyproject.toml venv/installed.toml
  fi
  if [[ $device != cpu ]]; then
    venv/bin/python - <<'PYTHON'
import sys, torch
if not torch.cuda.is_available():
    sys.exit(
        f"torch must find the GPU, but torch {torch.__version__} (built for CUDA {torch.version.cuda}) finds none. If the "
        "driver is older than that CUDA, install there, into venv, the build that pytorch.org names for the driver."
    )
PYTHON
  fi
}
main "$@" </dev/null
REMOTE
}

# run_there dry|detached WORD...
run_there() {
  remote "$WORK" "$@" <<'REMOTE'
main() {
  set -euo pipefail
  cd "$1"
  local how=$2
  shift 2
  export PYTHONUNBUFFERED=1
  if [[ $how == dry ]]; then
    venv/bin/python -m sweeps.run "$@" run.dry_run=true
    return
  fi
  rm -f exit_status driver.pid
  # a session of its own, without the connection's terminal; the lock is free as soon as all processes of it are gone
  # shellcheck disable=SC2016
  setsid nohup flock --nonblock run.lock bash -c '"$@" & echo $! >driver.pid; wait $!; echo $? >exit_status' run \
    venv/bin/python -m sweeps.run "$@" >>run.log 2>&1 </dev/null &
  for _ in {1..50}; do
    [[ -s driver.pid ]] && return
    sleep 0.1
  done
  tail -n 5 run.log >&2
  echo "The study could not be started; see run.log there." >&2
  exit 2
}
main "$@" </dev/null
REMOTE
}

# Whether the study runs, what is done, and the last lines of the log.
show_status() {
  remote "$WORK" <<'REMOTE'
main() {
  set -euo pipefail
  cd "$1" 2>/dev/null && [[ -e run.log ]] || { echo "Nothing was started in $1 on this machine." >&2; exit 2; }
  if ! flock --nonblock run.lock true; then
    echo "running"
  elif [[ -s exit_status ]]; then
    echo "ended with exit status $(cat exit_status)"
  else
    echo "not running, and ended without an exit status: the machine was restarted, or the run was killed"
  fi
  tail -n 5 run.log | cut -c 1-200
  venv/bin/python -m sweeps.status run.out=out
}
main "$@" </dev/null
REMOTE
}

stop_run() {
  remote "$WORK" <<'REMOTE'
main() {
  set -euo pipefail
  cd "$1" 2>/dev/null && [[ -e run.log ]] || { echo "Nothing was started in $1 on this machine." >&2; exit 2; }
  if flock --nonblock run.lock true; then
    echo "no study is running"
    return
  fi
  kill -TERM "$(cat driver.pid)"
  if ! flock --timeout 120 run.lock true; then
    echo "The study was told to end and has not ended after two minutes; see run.log there." >&2
    exit 1
  fi
  echo "stopped"
}
main "$@" </dev/null
REMOTE
}

# The databases as they are at one moment, by SQLite's own backup: the newest rows stand in the -wal file beside each of
# them, for a while after the study has ended too, and a copy of the files alone can lack rows or be damaged. Prints what
# is done in this very copy, and notes whether it is the last: more can be finished before it has come home.
take_snapshot() {
  remote "$WORK" <<'REMOTE'
main() {
  set -euo pipefail
  cd "$1" 2>/dev/null && [[ -e out/studies.db ]] || { echo "There is no studies.db on this machine yet." >&2; exit 2; }
  rm -rf snapshot
  mkdir -p snapshot
  flock --nonblock run.lock true || touch snapshot/running
  venv/bin/python - <<'PYTHON'
import sqlite3
from pathlib import Path

for name in ("out/studies.db", "out/mlruns/mlflow.db"):
    if Path(name).exists():
        source = sqlite3.connect(name, timeout=60)
        copy = sqlite3.connect(Path("snapshot", Path(name).name))
        source.backup(copy)
        copy.close()
        source.close()
PYTHON
  # where that fails, the results come home all the same
  venv/bin/python -m sweeps.status run.out=snapshot || true
}
main "$@" </dev/null
REMOTE
}

start() {
  (($# >= 2)) || { usage >&2 && exit 2; }
  local study=$1 images=$2 name
  shift 2
  local words=("run.out=out" "run.cache=cache" "run.device=$DEVICE")
  if [[ -f $study ]]; then
    words+=("study=studies/$(plain_name "$study")")
  elif [[ -f $PROJECT/sweeps/conf/study/$study.yaml ]]; then
    words+=("study=$study")
  else
    die "STUDY must be a file or the name of a study of the project (python -m sweeps.run --list), but got $study."
  fi
  if [[ $images != - ]]; then
    [[ -d $images ]] || die "IMAGES must be a folder, or - for none, but got $images."
    name=$(plain_name "$(cd "$images" && pwd)")
    words+=("data.root=images/$name")
  fi
  prepare_machine
  (cd "$PROJECT" && send --exclude=__pycache__ --exclude='*.egg-info' pyproject.toml README.md resnet_tl sweeps \
    "$host:$WORK/project/")
  [[ ! -f $study ]] || send "$study" "$host:$WORK/studies/$(plain_name "$study")"
  # what links lead to is sent, since it does not exist there
  [[ $images == - ]] || send --copy-links "$images/" "$host:$WORK/images/$name/"
  install_project
  run_there dry "${words[@]}" "$@"
  run_there detached "${words[@]}" "$@"
  echo
  echo "The study runs there, whether this connection lasts or not. Look and fetch with the same settings:"
  echo "    rented_gpu.sh status $host"
  echo "    rented_gpu.sh fetch $host FOLDER"
}

# A ledger at home that this command did not fetch, or that was written since, is never replaced.
require_unchanged() {
  local folder=$1 last=$1/.fetched
  [[ -e $folder/studies.db ]] || return 0
  [[ -e $last/studies.db ]] ||
    die "FOLDER must be new or one that this command has filled, but $folder has a studies.db of its own."
  # a fetch that was killed between its last two steps has left the ledger of the fetch before
  if [[ -s $folder/studies.db-wal ]] || ! { cmp -s "$folder/studies.db" "$last/studies.db" ||
    cmp -s "$folder/studies.db" "$last/before.db"; }; then
    die "$folder/studies.db was written since it was fetched, and fetching would replace it; give another FOLDER."
  fi
}

fetch() {
  (($# == 1)) || { usage >&2 && exit 2; }
  local folder=$1 status=0
  local last=$folder/.fetched
  require_unchanged "$folder"
  rm -rf "$last/new"
  take_snapshot
  mkdir -p "$last/new"
  # The ledger is copied first and put in place last, so that every network that it names is here before it is.
  rsync -rlptzH -e "$SSH" --exclude='/studies.db*' --exclude='/mlruns/mlflow.db*' --exclude=/mlruns/.work \
    "$host:$WORK/out/" "$folder/" || status=$?
  # 24: files went away meanwhile, as they may while a study runs
  ((status == 0 || status == 24)) || exit "$status"
  rsync -rptz -e "$SSH" "$host:$WORK/snapshot/" "$last/new/"
  rsync -ptz -e "$SSH" "$host:$WORK/run.log" "$folder/run.log"
  require_unchanged "$folder"
  # -wal files are of the copies before, and SQLite would take them for parts of the new ones
  if [[ -e $last/new/mlflow.db ]]; then
    rm -f "$folder/mlruns/mlflow.db-wal" "$folder/mlruns/mlflow.db-shm"
    mv "$last/new/mlflow.db" "$folder/mlruns/mlflow.db"
  fi
  rm -f "$folder/studies.db-wal" "$folder/studies.db-shm"
  [[ ! -e $folder/studies.db ]] || cp "$folder/studies.db" "$last/before.db"
  cp "$last/new/studies.db" "$last/studies.db"
  mv "$last/new/studies.db" "$folder/studies.db"
  echo "fetched into $folder, with every seed run that is counted above"
  if [[ -e $last/new/running ]]; then
    echo "The study was still running: fetch again once \`status\` says that it has ended."
  fi
}

case "${1:-}" in
  start | status | fetch | stop) ;;
  -h | --help) usage && exit 0 ;;
  *) usage >&2 && exit 2 ;;
esac
(($# >= 2)) || { usage >&2 && exit 2; }
[[ -f $PROJECT/pyproject.toml && -d $PROJECT/sweeps ]] ||
  die "This script must lie in docs/examples of the project, which it sends, but there is no project in $PROJECT."
command=$1
host=$2
shift 2
[[ $host != -* ]] || die "HOST must not begin with a dash, but got $host; options of ssh go into SSH."
[[ $WORK =~ ^[A-Za-z0-9._/-]+$ ]] || die "WORK must hold letters, digits and . _ / - alone, but got $WORK."
for program in "${ssh_words[0]}" rsync; do
  command -v "$program" >/dev/null || die "$program must be installed here."
done
case $command in
  start) start "$@" ;;
  status) show_status ;;
  fetch) fetch "$@" ;;
  stop) stop_run ;;
esac
