#!/usr/bin/env bash
# Builds the Debian package into target/debian; says its path. Takes the options of `cargo deb`, which is put into
# target/tools where it is not installed.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH="$PWD/target/tools/bin:$PATH"
# Without optimisation: it packs one package, and is built in half the time.
command -v cargo-deb >/dev/null || cargo install --quiet cargo-deb --version 3.8.0 --locked --debug --root target/tools
mkdir -p target/package/man
for page in packaging/man/*; do
    gzip -9nc "$page" >"target/package/man/$(basename "$page").gz"
done
gzip -9nc CHANGELOG.md >target/package/changelog.gz
exec cargo deb --locked --strip "$@"
