#!/bin/sh
# Make the two wheels, contracts and telemetry, from a checkout: wheels.sh FOLDER. It works in the checkout it is called in.
# PYTHON names an interpreter that has requirements/build.lock installed. The images and their tests make wheels by this file.
set -eu
folder=$(mkdir -p "$1" && cd "$1" && pwd)
python=${PYTHON:-python3}
scripts=$("$python" -c 'import sysconfig; print(sysconfig.get_path("scripts"))')
rm -rf libs/contracts/atlas && mkdir -p libs/contracts/atlas
# shellcheck disable=SC2046  # the names of the protos are without spaces
"$python" -m grpc_tools.protoc -Iprotos --python_out=libs/contracts --grpc_python_out=libs/contracts \
    --plugin=protoc-gen-mypy="$scripts/protoc-gen-mypy" --plugin=protoc-gen-mypy_grpc="$scripts/protoc-gen-mypy_grpc" \
    --mypy_out=quiet:libs/contracts --mypy_grpc_out=quiet:libs/contracts $(find protos -name '*.proto')
find libs/contracts/atlas -type d -path '*/v1' -exec touch '{}/py.typed' ';'
(cd libs/contracts && "$python" -m hatchling build -t wheel -d "$folder")
"$python" -m hatchling build -t wheel -d "$folder"
