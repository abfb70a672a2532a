#!/bin/bash
# setup.sh DIR: an Arm64 Debian with the current ONNX Runtime, and one whose ONNX Runtime has XNNPACK,
# both run by qemu's user mode.  Made of package names alone, in about a minute; made again only in the
# parts that changed.  Needs Debian 12, root, and PYTHON (python3) with pip.
#
#   DIR/wheel         Debian 12 with Python 3.11
#   DIR/packages      for its PYTHONPATH, from PyPI: ONNX Runtime's CPU provider, with KleidiAI
#   DIR/xnnpack       Debian 13, Python 3.13, python3-onnxruntime 1.21: the XNNPACK provider as well
#   DIR/libicount.so  counts instructions
#
# In each root, usr/bin/python3 is a script that this machine can run: it starts the Arm64 interpreter
# under its own name, so that what Python starts by sys.executable, and virtual environments, work too.
set -euo pipefail
HERE=$(cd "$(dirname "$0")" && pwd)
LANE=$1
PYTHON=${PYTHON:-python3}
mkdir -p "$LANE"
LANE=$(cd "$LANE" && pwd)

for tool in qemu-aarch64:qemu-user mmdebstrap:mmdebstrap gcc:gcc; do
  if ! command -v "${tool%:*}" >/dev/null; then
    echo "installing ${tool#*:}"
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends "${tool#*:}" libc6-dev >/dev/null
  fi
done

# once PART FILE... -- COMMAND: unless PART was made from the same FILEs.
once() {
  local part=$1 files=() version
  shift
  while [ "$1" != -- ]; do files+=("$1"); shift; done
  shift
  version=$(cat "$HERE/setup.sh" ${files[@]+"${files[@]}"} | sha256sum)
  [ "$(cat "$LANE/$part.made" 2>/dev/null)" = "$version" ] && return
  echo "making $part"
  rm -rf "$LANE/$part.made" "${LANE:?}/$part"
  "$@"
  echo "$version" >"$LANE/$part.made"
}

# root NAME SUITE PACKAGES: unpacked, not installed; nothing of it has run.
root() {
  mmdebstrap -q --mode=root --variant=extract --arch=arm64 --components=main --include="$3" "$2" "$LANE/$1" \
    2>"$LANE/$1.log" || { cat "$LANE/$1.log" >&2; exit 1; }
  [ -e "$LANE/$1/lib" ] || ln -s usr/lib "$LANE/$1/lib"
  local base="fp asimd evtstrm aes pmull sha1 sha2 crc32 cpuid"
  local later="$base atomics fphp asimdhp asimdrdm lrcpc dcpop asimddp"
  seen_by "$1" cortex-a72 0xd08 "$base"
  seen_by "$1" cortex-a76 0xd0b "$later"
  seen_by "$1" max 0xd0b "$later"
}

# seen_by NAME CPU PART FEATURES: the root as a CPU sees it, with a /proc/cpuinfo of its own.  ONNX Runtime's
# processor detection does not survive that of an x86, and believes what it reads.
seen_by() {
  local view="$LANE/$1/as/$2" core each
  mkdir -p "$view/proc"
  for each in "$LANE/$1"/*; do
    # Hard links: a symbolic one in place of /usr would lead a path back to itself.
    case ${each##*/} in as | proc) ;; *) cp -al "$each" "$view/" ;; esac
  done
  for core in 0 1; do
    printf 'processor\t: %d\nFeatures\t: %s\nCPU implementer\t: 0x41\nCPU architecture: 8\nCPU variant\t: 0x4\nCPU part\t: %s\nCPU revision\t: 1\n\n' \
      "$core" "$4" "$3"
  done >"$view/proc/cpuinfo"
}

# interpreter NAME PYTHON: what starts it.  CPU and COUNT (the plugin's options) come by the environment.
interpreter() {
  local own="$LANE/$1"
  rm -f "$own/usr/bin/python3"
  cat >"$own/usr/bin/python3" <<END
#!/bin/sh
exec qemu-aarch64 -cpu "\${CPU:-cortex-a76}" \${COUNT:+-plugin $LANE/libicount.so,\$COUNT} \\
  -L $own/as/"\${CPU:-cortex-a76}" -0 "\$0" \\
  -E LD_LIBRARY_PATH=$own/usr/lib/aarch64-linux-gnu/blas:$own/usr/lib/aarch64-linux-gnu/lapack \\
  -E PYTHONDONTWRITEBYTECODE=1 -E PYTHONHASHSEED=0 $own/usr/bin/$2 "\$@"
END
  chmod +x "$own/usr/bin/python3"
}

wheel_root() {
  root wheel bookworm python3-minimal,python3.11-venv,libpython3.11-stdlib,libstdc++6
  interpreter wheel python3.11
}

xnnpack_root() {
  root xnnpack trixie python3-onnxruntime
  interpreter xnnpack python3.13
}

# What our own wheel depends on, and the tests; and that wheel, for its entry points.
packages() {
  local pip="$PYTHON -m pip --disable-pip-version-check -q" platforms="" each
  for each in manylinux_2_28 manylinux_2_27 manylinux_2_26 manylinux_2_17 manylinux2014; do
    platforms="$platforms --platform ${each}_aarch64"
  done
  mkdir "$LANE/packages"
  $pip wheel --no-deps --wheel-dir "$LANE/packages/own" "$HERE/../.."
  $pip install --target "$LANE/packages" $platforms --only-binary=:all: \
    --python-version 3.11 --implementation cp --abi cp311 --abi abi3 --abi none \
    "$(echo "$LANE"/packages/own/*.whl)[bench]" onnx==1.23.2 onnxruntime==1.31.1 pytest hypothesis
}

once wheel -- wheel_root
once xnnpack -- xnnpack_root
once packages "$HERE/../../pyproject.toml" -- packages
once libicount.so "$HERE/icount.c" -- gcc -O2 -shared -fPIC -Wall -o "$LANE/libicount.so" "$HERE/icount.c"
