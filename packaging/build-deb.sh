#!/usr/bin/env bash
# Builds the Debian package into target/debian; says its path. `cargo install cargo-deb` once, or have it in
# target/tools/bin (`cargo install cargo-deb --locked --root target/tools`).
set -euo pipefail
cd "$(dirname "$0")/.."
PATH="$PWD/target/tools/bin:$PATH"
command -v cargo-deb >/dev/null || {
    echo "cargo-deb is missing: cargo install cargo-deb --locked --root target/tools" >&2
    exit 1
}
mkdir -p target/package/man
for page in packaging/man/*; do
    gzip -9nc "$page" >"target/package/man/$(basename "$page").gz"
done
gzip -9nc CHANGELOG.md >target/package/changelog.gz
exec cargo deb --locked --strip "$@"
