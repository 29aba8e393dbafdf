# What is done to the Debian root, as the directory $1, once its packages are in it.
set -eu
mkdir -p "$1/bench"
cp "$PALISADE_BENCH_WORKLOADS"/*.py "$1/bench/"
chroot "$1" bash -eu -s <"$PALISADE_BENCH_WORKLOADS/prepare.sh"
