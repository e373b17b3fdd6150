#!/bin/sh
# joblib 1.6.0: once a program has asked for joblib's own reusable pool of processes by
# joblib.externals.loky.get_reusable_executor, joblib.Parallel in the same program fails with
# AttributeError: '_ReusablePoolExecutor' object has no attribute '_temp_folder_manager'. Parallel
# takes the pool that is there, and expects it to be of its own kind. The other way round, Parallel
# first and then the executor, both work.
# Exits with an error once Parallel works after the executor.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q joblib==1.6.0
cat > "$folder/pools.py" <<'PYTHON'
import sys

import joblib
from joblib import Parallel, delayed
from joblib.externals.loky import get_reusable_executor

assert joblib.__version__ == "1.6.0"


def by_executor():
    return get_reusable_executor(max_workers=2).submit(abs, -1).result()


def by_parallel():
    return Parallel(n_jobs=2)(delayed(abs)(-k) for k in range(3))


if __name__ == "__main__":
    if sys.argv[1] == "parallel":
        print(by_parallel(), by_executor())
    else:
        print(by_executor())
        try:
            print(by_parallel())
        except AttributeError as error:
            print(error)
            assert "_temp_folder_manager" in str(error)
        else:
            sys.exit("it works now")
PYTHON
"$folder/venv/bin/python" "$folder/pools.py" parallel
"$folder/venv/bin/python" "$folder/pools.py" executor
