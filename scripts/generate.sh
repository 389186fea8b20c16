#!/bin/sh
# Generates the committed code of the clients from proto/ (Rust's is kept by tests/it/generated.rs).
#   generate.sh write    puts it where it is committed
#   generate.sh check    fails where what is committed is something else
# BUF and PYTHON are the programs that `make tools` installed; the plugins of buf.gen.yaml are on the path.
set -eu

# These directories hold nothing that is written by hand.
generated="clients/go/tidegatev1 clients/python/tidegate/v1 clients/typescript/gen"

out=target/generated
rm -rf "$out"
mkdir -p "$out/clients/python"
"$BUF" generate --output "$out"
"$PYTHON" -m grpc_tools.protoc -I proto --python_out="$out/clients/python" --pyi_out="$out/clients/python" \
    proto/tidegate/v1/*.proto
# Without a service there is nothing for gRPC in a file.
"$PYTHON" -m grpc_tools.protoc -I proto --grpc_python_out="$out/clients/python" \
    $(grep -l '^service ' proto/tidegate/v1/*.proto)

for directory in $generated; do
    case $1 in
    write)
        rm -rf "$directory"
        mkdir -p "$directory"
        cp -R "$out/$directory/." "$directory"
        ;;
    check)
        diff -r -q -x __pycache__ "$directory" "$out/$directory" || {
            echo "$directory is not what proto/ generates: run make generate, and commit what it changes" >&2
            exit 1
        }
        ;;
    esac
done
