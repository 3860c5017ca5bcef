#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Starts a real S3 server (Ceph: one monitor, one OSD on a file, one RADOS gateway) on loopback, all of it inside one directory.
#
#   start.sh DIR PORT        DIR new, empty or made by this script; PORT for http://127.0.0.1:PORT
#
# Prints NAME=value lines that a shell can eval; they are kept in DIR/env. Running already: prints them again. Some or all of it killed,
# even by kill -9: starts what is gone, every answered object is still there. Several servers side by side: one DIR and one PORT each.
# DIR on a tmpfs: all in memory. Needs no root, systemd, docker or network; needs Debian 12's radosgw, ceph-mon and ceph-osd.
# Environment: S3_MIB, the most that the user may store (2048 by default; beyond it PUT answers 403 QuotaExceeded); read at the first start.
set -euo pipefail
export LC_ALL=C

reason=
die() { reason=": $*"; echo "s3_server/start: $*" >&2; exit 1; }
[ $# = 2 ] || die "usage: start.sh DIR PORT"
port=$2 mib=${S3_MIB:-2048}
[[ $port =~ ^[1-9][0-9]{3,4}$ && $port -ge 1024 && $port -le 65535 ]] || die "PORT must be 1024 to 65535, got '$port'"
[[ $mib =~ ^[1-9][0-9]{0,5}$ ]] || die "S3_MIB must be 1 to 999999, got '$mib'"
for tool in ceph-mon ceph-osd radosgw radosgw-admin ceph monmaptool; do
  command -v "$tool" >/dev/null || die "$tool is missing: apt-get install -y --no-install-recommends radosgw ceph-mon ceph-osd"
done
dir=$(realpath -m -- "$1")
[[ $dir =~ ^/[A-Za-z0-9/._+@,=-]+$ ]] || die "DIR must be a plain path without blanks or quotes, got '$dir'"
mkdir -p "$dir"
[ -e "$dir/.s3-server" ] || [ -z "$(ls -A "$dir")" ] || die "$dir is neither empty nor made by s3_server/start"
touch "$dir/.s3-server"
exec 9>"$dir/.lock"
flock -w 120 9 || die "another s3_server/start has held $dir for 120 s"
[ "$dir/.lock" -ef /proc/self/fd/9 ] || die "$dir was removed by s3_server/stop meanwhile; start again"

conf=$dir/ceph.conf
# Ours: the recorded pid, if its command line still names our configuration.
pid_of() { local p; p=$(cat "$dir/$1.pid" 2>/dev/null) && [ -n "$p" ] && tr '\0' '\n' 2>/dev/null <"/proc/$p/cmdline" | grep -qxF "$conf" && echo "$p"; }
alive() { pid_of "$1" >/dev/null; }
halt() {
  local name p
  for name in "$@"; do
    if p=$(pid_of "$name"); then kill -KILL "$p" 2>/dev/null || true; while alive "$name"; do sleep 0.02; done; fi
    rm -f "$dir/$name.pid"
  done
}
launch() { # both sides record the pid: the child lest this script be killed between the two, the parent lest it look too early
  local name=$1; shift
  (echo $BASHPID >"$dir/$name.pid"; exec setsid "$@" -c "$conf" -f) >"$dir/log/$name.out" 2>&1 </dev/null 9>&- &
  local child=$!
  echo $child >"$dir/$name.pid"
  # Until the child has become the daemon its command line is ours, and alive() would call the daemon dead.
  while kill -0 $child 2>/dev/null && ! alive "$name"; do sleep 0.005; done
}
await() { # await NAME WHAT COMMAND...: up to 60 s while daemon NAME lives
  local name=$1 what=$2 end=$((SECONDS + 60)); shift 2
  until "$@"; do
    alive "$name" || die "$name ended before $what"
    [ $SECONDS -lt $end ] || die "no sign of $what after 60 s"
    sleep 0.02
  done
}
taken() { (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; }
answers() { (exec 3<>"/dev/tcp/127.0.0.1/$port" && printf 'GET / HTTP/1.0\r\n\r\n' >&3 && read -r -t 5 line <&3 && [[ $line == *" 200 "* ]]) 2>/dev/null; }
start_gateway() {
  # A gateway that was just killed may not have closed its socket yet.
  local end=$((SECONDS + 5))
  while [ -e "$dir/env" ] && taken && [ $SECONDS -lt $end ]; do sleep 0.02; done
  ! taken || die "port $port is in use by another program"
  launch radosgw radosgw -n client.rgw
  await radosgw "an answer on port $port" answers
}
failed() {
  [ $? != 0 ] || return 0
  [ -e "$dir/env" ] || halt radosgw ceph-osd ceph-mon
  tail -n 5 "$dir"/log/*.out "$dir"/log/*.log >&2 2>/dev/null || true
  # Last, since the ends of logs are what many readers cut off at.
  echo "s3_server/start: failed$reason; logs are in $dir/log" >&2
}

export CEPH_CONF=$conf CEPH_ARGS=
ceph_do() { timeout 60 ceph --connect-timeout 30 "$@" >>"$dir/log/setup.out" 2>&1 9>&-; }
if [ -e "$dir/env" ]; then
  grep -qx "AWS_ENDPOINT_URL=http://127.0.0.1:$port" "$dir/env" || die "$dir belongs to another port: $(head -n 1 "$dir/env")"
  trap failed EXIT
  alive ceph-mon || launch ceph-mon ceph-mon -i a
  if ! alive ceph-osd; then
    ceph_do osd down 0   # or clients would first wait 10 s for the dead one
    launch ceph-osd ceph-osd -i 0
  fi
  alive radosgw || start_gateway
  cat "$dir/env"
  exit 0
fi

halt radosgw ceph-osd ceph-mon
! taken || die "port $port is in use by another program"
trap failed EXIT
rm -rf "$dir"/{log,run,mon,osd,rgw,monmap,env}
mkdir -p "$dir"/{log,run,mon,osd,rgw}
chmod 700 "$dir"
# Ceph's own sockets get a loopback address derived from PORT, so that servers cannot collide and no second port has to be free.
inner=127.$((port >> 8)).$((port & 255)).1
fsid=$(cat /proc/sys/kernel/random/uuid) osd=$(cat /proc/sys/kernel/random/uuid)
key=PENSTOCKTESTKEY00001 secret=penstock/test+secret/0123456789abcdefghi

cat >"$conf" <<END
[global]
fsid = $fsid
mon host = [v2:$inner:3300/0]
public addr = $inner
cluster addr = $inner
ms bind msgr1 = false
# No keys inside: all is loopback and thrown away. The gateway insists on an encrypted monitor link unless told otherwise.
auth cluster required = none
auth service required = none
auth client required = none
ms mon client mode = crc
run dir = $dir/run
crash dir = $dir/run
keyring = $dir/keyring
admin socket =
log file = $dir/log/\$name.log
# One OSD is the whole cluster; there is no manager daemon, so nothing may wait for one.
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 1
osd pool default pgp num = 1
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon allow pool size one = true
# Fast start: else the monitor waits a second before each of some twenty map changes, clients look for a new map every 5 s, and
# each of a dozen opens and closes of the block file waits for a poll of 250 ms.
paxos propose interval = 0.01
paxos min wait = 0.005
objecter tick interval = 0.2
bdev aio poll ms = 10
# Without its cache the gateway need not notify peers: after kill -9 a dead one would stall bucket and user changes for 30 s.
rgw cache enabled = false
# Writes hang when an OSD is full; the quota answers 403 QuotaExceeded well before. The block file is sparse.
rgw user default quota max size = $((mib * 1048576))
[mon]
mon data = $dir/mon
mon initial members = a
mon cluster log file = $dir/log/cluster.log
mon data avail crit = 0
mon data avail warn = 0
[osd]
osd data = $dir/osd
osd objectstore = bluestore
bluestore block size = $(((mib * 2 + 4096) * 1048576))
bluestore fsck on mkfs = false
bluestore cache autotune = false
bluestore cache size = 67108864
osd class load list = *
osd class default list = *
[client.rgw]
rgw data = $dir/rgw
# Without nodelay an answer on a kept connection waits 40 ms for an acknowledgement.
rgw frontends = beast endpoint=127.0.0.1:$port tcp_nodelay=1
rgw thread pool size = 128
rgw dns name = s3.localhost
rgw relaxed region enforcement = true
rgw run sync thread = false
rgw num control oids = 1
# Session tokens (AssumeRole). Local first, or a wrong signature reads AccessDenied instead of SignatureDoesNotMatch.
rgw s3 auth use sts = true
rgw s3 auth order = local, sts
rgw sts key = penstock-sts-key
# Give the space of deleted objects back in seconds, not hours.
rgw gc max objs = 1
rgw gc obj min wait = 1
rgw gc processor period = 2
rgw gc processor max time = 2
END
monmaptool --create --fsid "$fsid" --addv a "[v2:$inner:3300/0]" "$dir/monmap" >"$dir/log/setup.out"
ceph-mon --mkfs -i a --monmap "$dir/monmap" >>"$dir/log/setup.out" 2>&1
launch ceph-mon ceph-mon -i a
ceph_do osd new "$osd"
ceph-osd --mkfs -i 0 --osd-uuid "$osd" >>"$dir/log/setup.out" 2>&1
launch ceph-osd ceph-osd -i 0
admin() { timeout 60 radosgw-admin "$@" >>"$dir/log/setup.out" 2>&1 9>&-; }
admin user create --uid=penstock --display-name=penstock --access-key="$key" --secret-key="$secret"
admin role create --role-name=session --assume-role-policy-doc='{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":["arn:aws:iam:::user/penstock"]},"Action":["sts:AssumeRole"]}]}'
admin role policy put --role-name=session --policy-name=all --policy-doc='{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["s3:*"],"Resource":["arn:aws:s3:::*"]}]}'
start_gateway

cat >"$dir/env" <<END
AWS_ENDPOINT_URL=http://127.0.0.1:$port
AWS_ACCESS_KEY_ID=$key
AWS_SECRET_ACCESS_KEY=$secret
AWS_DEFAULT_REGION=us-east-1
S3_DOMAIN=s3.localhost:$port
S3_ROLE_ARN=arn:aws:iam:::role/session
END
cat "$dir/env"
