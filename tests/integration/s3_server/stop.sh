#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Ends the S3 server that start.sh started in DIR and removes DIR; with --keep, leaves DIR: objects, logs, and start.sh goes on there.
#
#   stop.sh DIR [--keep]
#
# Ends only the processes recorded in DIR whose command line still names DIR's configuration. Nothing running, or no DIR: does nothing, exit 0.
set -euo pipefail
export LC_ALL=C

die() { echo "s3_server/stop: $*" >&2; exit 1; }
[ $# = 1 ] || { [ $# = 2 ] && [ "$2" = --keep ]; } || die "usage: stop.sh DIR [--keep]"
[ -d "$1" ] || exit 0
dir=$(cd "$1" && pwd -P)
[ -e "$dir/.s3-server" ] || die "$dir was not made by s3_server/start"
exec 9>"$dir/.lock"
flock -w 120 9 || die "a s3_server/start has held $dir for 120 s"

ours() { tr '\0' '\n' 2>/dev/null <"/proc/$1/cmdline" | grep -qxF "$dir/ceph.conf"; }
for name in radosgw ceph-osd ceph-mon; do
  pid=$(cat "$dir/$name.pid" 2>/dev/null) || continue
  if [ -n "$pid" ] && ours "$pid"; then
    kill -KILL "$pid" 2>/dev/null || true   # every answered write is on disk: nothing to flush
    for ((i = 0; i < 500; i++)); do ours "$pid" || break; sleep 0.02; done
    ! ours "$pid" || die "$name (pid $pid) did not end"
  fi
  rm -f "$dir/$name.pid"
done
[ "${2:-}" = --keep ] || rm -rf "$dir"
