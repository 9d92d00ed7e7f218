#!/usr/bin/env bash
# llama-cpp-py-sync 0.11739 (prebuilt llama.cpp for x86-64): the wheel is tagged manylinux2014, its libraries are not.
#
# Guess:    a wheel tagged manylinux2014 needs glibc 2.17 at most (PEP 599), so it loads wherever pip installs it, and
#           its libllama could stand in for the one that llama-cpp-python compiles for minutes.
# Seen:     its libraries ask for GLIBC_2.38, which is manylinux_2_38 at best. pip installs it on Debian 12 and
#           Ubuntu 22.04 (ROS 2 Humble) without a word, and there no library of it can be loaded.
# So what:  on a robot a prebuilt engine is tried (loaded, one token) before it is relied on; what pip says is no proof.
#
# Exits with 0 while this holds, with 1 when it has changed. Loads nothing: it reads the files' symbol tables.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" download --quiet --no-deps --only-binary :all: --platform manylinux2014_x86_64 \
  --dest "$folder" "llama-cpp-py-sync==0.11739"

wheel=$(ls "$folder"/*.whl)
basename "$wheel"
case $wheel in *manylinux2014_x86_64.whl) ;; *) echo "the tag has changed"; exit 1 ;; esac
"$folder/venv/bin/python" - "$wheel" <<'PYTHON'
import re
import sys
import zipfile

with zipfile.ZipFile(sys.argv[1]) as wheel:
    names = [name for name in wheel.namelist() if ".so" in name]
    needs = {name: set(re.findall(rb"GLIBC_(2\.\d+)\0", wheel.read(name))) for name in names}
newest = {name: max((int(version.split(b".")[1]) for version in found), default=0) for name, found in needs.items()}
for name, minor in sorted(newest.items()):
    print(f"{name}: glibc 2.{minor}")

holds = max(newest.values()) == 38
print("as found" if holds else "this has changed")
sys.exit(not holds)
PYTHON
