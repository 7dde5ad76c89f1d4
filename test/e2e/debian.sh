#!/usr/bin/env bash
# The life of a package on this machine, from install to purge, by the real dpkg: debian.sh FOLDER WITH TWO PACKAGES
#
# It runs on an overlay in a mount namespace of its own: what dpkg writes goes to memory, and ends with this script. No init
# system runs there: the appliance is started as its unit would start it, as its user and with its words.
set -euo pipefail

if [ "${2:-}" != inside ]; then
  place=$(mktemp -d)
  trap 'rmdir "$place"' EXIT
  unshare --mount --propagation private bash -euc '
    mount -t tmpfs -o size=1g decoymx "$1"
    mkdir "$1/upper" "$1/work" "$1/root"
    mount -t overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" decoymx "$1/root"
    mkdir "$1/root/decoymx-test"
    mount --bind "$2" "$1/root/decoymx-test"
    mount --rbind /proc "$1/root/proc"
    mount --rbind /dev "$1/root/dev"
    cp "$3" "$1/root/life.sh"
    chroot "$1/root" bash /life.sh /decoymx-test inside
  ' bash "$place" "$1" "${BASH_SOURCE[0]}"
  exit
fi

cd /
packages=$1
export NO_COLOR=1
# The index of all manual pages of this machine would be made anew after each step, which takes longer than the steps.
rm -f /var/lib/man-db/auto-update
files=(--settings /etc/decoymx/decoymx.yaml --rules /etc/decoymx/rules.yaml)
as_user() { runuser -u decoymx -- /usr/bin/decoymx "$@"; }

start() {
  mkfifo /log
  as_user run --state /var/lib/decoymx "${files[@]}" > /log 2>&1 &
  unit=$!
  # Read on after the line that it waits for, or it would write into a pipe that nobody empties.
  exec 9< /log
  while read -r line <&9; do case $line in *'"ready'* | *'ready, mode'*) break ;; esac; done
  cat <&9 > /dev/null &
  echo "served: ${line:-nothing}" | grep -o 'served: nothing\|ready, mode [a-z]*'
  rm /log
}
end() {
  pkill -TERM -u decoymx -f 'start.js run'
  wait "$unit" && echo 'ended with 0' || echo "ended with $?"
  exec 9<&-
}

echo '== install'
dpkg -i "$packages"/decoymx_1.0_*.deb
dpkg-query -W -f '${Status} ${Version}\n' decoymx
man -w decoymx-why
# Its size as the package tells it, what is of one machine only, and what nobody there reads.
dpkg-query -W -f 'told ${Installed-Size} KB, ${Architecture}\n' decoymx
du -sk --apparent-size /usr/lib/decoymx
(cd /usr/lib/decoymx/node_modules && find . -name '*.node' -o -name '*.ts' -o -name '*.map')
echo '== settings'
decoymx init --into /etc/decoymx --domain example.net --primary 192.0.2.66 --backup 192.0.2.67 --real-mx 127.0.0.25
# Addresses that this machine has, and ports that nothing else on it has.
sed -i -E 's/192\.0\.2\.(6[67]):25/127.0.0.\1:0/; s/:(10040|5300|8025)"/:0"/' /etc/decoymx/decoymx.yaml
as_user check "${files[@]}"
echo '== run'
start
as_user block 203.0.113.9 --because 'before the upgrade' --state /var/lib/decoymx
as_user status --state /var/lib/decoymx > /status || true
grep "^DNSBL, UDP" /status
dig +short "@127.0.0.1" -p "$(sed -n 's/^DNSBL, UDP\t127.0.0.1:\([0-9]*\)\t.*/\1/p' /status)" 2.0.0.127.bl.example.net A
end
echo '== upgrade'
dpkg -i "$packages"/decoymx_1.1_*.deb
dpkg-query -W -f '${Status} ${Version}\n' decoymx
start
as_user list --state /var/lib/decoymx
# While it runs, as docs/operating.md has it.
tar -C / -czf /backup.tgz etc/decoymx var/lib/decoymx/journal
end
echo '== remove'
dpkg -r decoymx
ls -A /etc/decoymx /var/lib/decoymx
if [ -e /usr/bin/decoymx ] || [ -e /usr/lib/decoymx ]; then echo 'code is left'; else echo 'no code is left'; fi
echo '== purge'
dpkg -P decoymx
for path in /etc/decoymx /var/lib/decoymx /usr/share/doc/decoymx; do if [ -e "$path" ]; then echo "left: $path"; fi; done
getent passwd decoymx || echo 'no user is left'
echo '== restore'
dpkg -i "$packages"/decoymx_1.1_*.deb
tar -C / --no-same-owner -xpzf /backup.tgz
chown -R decoymx: /var/lib/decoymx
chgrp -R decoymx /etc/decoymx
as_user check "${files[@]}"
start
as_user list --state /var/lib/decoymx
end
dpkg -P decoymx
