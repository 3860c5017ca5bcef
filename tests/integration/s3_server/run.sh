#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# A real S3 server for as long as somebody holds this script's input open: starts one in a new directory on a free port,
# prints what start.sh prints, S3_DIR and S3_PORT, then an empty line; stops it and removes all at the end of the input.
# So nothing is left even of a test that is killed. In memory when /dev/shm has room.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
place=${TMPDIR:-/tmp}
if [ -w /dev/shm ] && [ "$(df --output=avail -k /dev/shm | tail -n 1)" -gt $((2 << 20)) ]; then place=/dev/shm; fi
dir=$(mktemp -d "$place/penstock-s3-XXXXXX")
trap '"$here/stop.sh" "$dir" </dev/null || true; rm -rf "$dir"' EXIT
trap '' HUP INT TERM PIPE # the end of the input is what counts
for try in 1 2 3 4 5; do
  port=$((20000 + (RANDOM * 3 + try) % 12000)) # below the range from which the kernel takes ports by itself
  if output=$("$here/start.sh" "$dir" "$port" </dev/null 2>"$dir.errors"); then break; fi
  if [ "$try" = 5 ]; then cat "$dir.errors" >&2; rm -f "$dir.errors"; exit 1; fi
  "$here/stop.sh" "$dir" </dev/null || true
  mkdir -p "$dir"
done
rm -f "$dir.errors"
printf '%s\nS3_DIR=%s\nS3_PORT=%s\n\n' "$output" "$dir" "$port"
cat >/dev/null
