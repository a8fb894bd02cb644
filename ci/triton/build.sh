#!/bin/sh
# Compile into $1 what Triton would compile when it first sees a GPU.
# Needs the environment's python on the PATH, gcc and Python's headers; neither GPU nor driver.
set -eu
nvidia=$(python -c 'import triton.backends.nvidia as it; print(it.__path__[0])')
headers=$(python -c 'import sysconfig; print(sysconfig.get_paths(scheme="posix_prefix")["include"])')
stand_in=$(mktemp -d)
echo | gcc -x c - -shared -Wl,-soname,libcuda.so.1 -o "$stand_in/libcuda.so.1"
gcc "$nvidia/driver.c" -O3 -shared -fPIC -Wno-psabi -o "$1" \
  -Wl,--no-as-needed -L"$stand_in" -l:libcuda.so.1 -I"$nvidia/include" -I"$headers"
