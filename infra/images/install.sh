#!/bin/sh
# Install one service into a new virtual environment: install.sh SERVICE ENVIRONMENT WHEELS. Packages are those of the service's
# lock, by their hashes, and as wheels only; then ours, without a look at any index. PYTHON names the interpreter, UV the installer.
set -eu
service=$1 environment=$2 wheels=$3
uv=${UV:-uv}
"$uv" venv --quiet --no-project --python "${PYTHON:-python3}" "$environment"
"$uv" pip install --quiet --python "$environment/bin/python" --require-hashes --only-binary :all: \
    -r "requirements/images/$service.lock"
"$uv" pip install --quiet --python "$environment/bin/python" --no-deps --no-index "$wheels"/*.whl
"$uv" pip check --quiet --python "$environment/bin/python"
