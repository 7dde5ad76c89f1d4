#!/bin/sh
# Takes out of node_modules what only compilers, debuggers and people read: deploy/trim.sh FOLDER
#
# Declarations, sources in TypeScript (Node runs none of a package's), maps, and the C++ of koffi, which comes built. Licences stay.
set -eu
cd "$1"
find . -type f \( -name '*.ts' -o -name '*.cts' -o -name '*.mts' -o -name '*.map' -o -name '*.tsbuildinfo' \) -delete
if [ -d koffi ]; then
  rm -rf koffi/doc
  find koffi/lib koffi/src koffi/vendor -type f ! -name '*.js' ! -name '*.cjs' ! -iname 'licen*' -delete
fi
find . -type d -empty -delete
