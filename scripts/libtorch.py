#!/usr/bin/env python3
"""Makes `.libtorch` in the checkout a link to a libtorch 2.11, so that plain `cargo build` works afterwards.

In this order: $LIBTORCH; a Python that has torch 2.11; the published wheels, fetched once into a cache folder that
all checkouts share. Standard library only. Prints one line, or one line of error.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
import zipfile
from pathlib import Path
from typing import Callable, Dict, Iterator, List, NamedTuple, Optional

VERSION = "2.11.0"
CHECKOUT = Path(__file__).resolve().parent.parent
VERSION_HEADER = "include/torch/headeronly/version.h"


class Wheel(NamedTuple):
    """A published wheel, the hash it must have, and the shared libraries taken out of it."""

    name: str
    version: str
    sha256: str
    size: int
    libraries: Dict[str, str]


# The Python tag of the torch wheel does not matter: nothing of Python in it is used. The CUDA wheels are here for the
# two small libraries that libtorch_cpu.so of this build is linked with; no GPU is needed to run them.
WHEELS = [
    Wheel(
        "torch",
        VERSION,
        "7aa2f9bbc6d4595ba72138026b2074be1233186150e9292865e04b7a63b8c67a",
        530_604_548,
        {name: f"torch/lib/{name}" for name in ("libtorch_cpu.so", "libc10.so", "libgomp.so.1")},
    ),
    Wheel(
        "nvidia-cuda-runtime",
        "13.0.96",
        "7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548",
        2_243_632,
        {"libcudart.so.13": "nvidia/cu13/lib/libcudart.so.13"},
    ),
    Wheel(
        "nvidia-cuda-cupti",
        "13.0.85",
        "4eb01c08e859bf924d222250d2e8f8b8ff6d3db4721288cf35d14252a4d933c8",
        10_715_597,
        {"libcupti.so.13": "nvidia/cu13/lib/libcupti.so.13"},
    ),
]
PLATFORMS = ["manylinux_2_28_x86_64", "manylinux_2_25_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64"]
OTHERWISE = "or set LIBTORCH to a libtorch 2.11 you have"


class Trouble(Exception):
    """What went wrong and what to do about it, in one line."""


# ---------------------------------------------------------------------------------------------- looking at folders


def version_of(folder: Path) -> Optional[str]:
    """The version a libtorch folder states, without its build suffix; None if it states none."""
    with contextlib.suppress(OSError):
        return (folder / "build-version").read_text().strip().split("+")[0]
    for header in (VERSION_HEADER, "include/torch/csrc/api/include/torch/version.h"):
        with contextlib.suppress(OSError):
            numbers = dict(re.findall(r"#define\s+TORCH_VERSION_(MAJOR|MINOR|PATCH)\s+(\d+)", (folder / header).read_text()))
            if len(numbers) == 3:
                return "{MAJOR}.{MINOR}.{PATCH}".format(**numbers)
    return None


def fault_of(folder: Path) -> Optional[str]:
    """Why a folder is not a libtorch we can link with; None if it is."""
    if not (folder / "include/torch").is_dir():
        return f"{folder} has no include/torch"
    if not (folder / "lib/libtorch_cpu.so").is_file():
        return f"{folder} has no lib/libtorch_cpu.so"
    version = version_of(folder)
    return None if version == VERSION else f"{folder} is libtorch {version or 'of an unknown version'}"


def cache_folder() -> Path:
    """Where libtorch is kept for all checkouts of this user."""
    given = os.environ.get("HUMEA_CACHE")
    if given:
        return Path(given).expanduser().absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").absolute() / "humea"


# ------------------------------------------------------------------------------------------------------ the sources


def from_environment() -> Optional[Path]:
    """The folder named by $LIBTORCH. A wrong one is an error: whoever set it meant it."""
    given = os.environ.get("LIBTORCH")
    if not given or Path(given).absolute() == CHECKOUT / ".libtorch":
        return None
    fault = fault_of(Path(given).absolute())
    if fault:
        raise Trouble(f"LIBTORCH: {fault}; point it at a libtorch {VERSION}, or unset it")
    return Path(given).absolute()


# Run by other interpreters; finds torch without importing it, which would take seconds.
PROBE = """
import importlib.metadata, importlib.util
print(importlib.metadata.version("torch").split("+")[0])
print(importlib.util.find_spec("torch").submodule_search_locations[0])
"""


def pythons() -> List[str]:
    """The interpreters worth asking: the active environment's first."""
    folders = [os.environ.get("VIRTUAL_ENV"), os.environ.get("CONDA_PREFIX")]
    found = [os.path.join(folder, "bin", "python") for folder in folders if folder]
    found += [sys.executable, shutil.which("python3"), shutil.which("python")]
    return list(dict.fromkeys(path for path in found if path and os.path.exists(path)))


def torch_of(python: str) -> Optional[Path]:
    """The package folder of torch 2.11 in this interpreter; None if it has none, or another version."""
    try:
        answer = subprocess.run([python, "-c", PROBE], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                stdin=subprocess.DEVNULL, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    version, package = answer.stdout.decode().splitlines()[-2:]
    package = Path(package)
    return package if version == VERSION and (package / "lib/libtorch_cpu.so").is_file() else None


def from_python(cache: Path) -> Optional[Path]:
    """A folder of links into the first Python that has torch 2.11."""
    for python in pythons():
        package = torch_of(python)
        if package:
            return link_folder(package, cache)
    return None


def link_folder(package: Path, cache: Path) -> Path:
    """Links to the CPU part of an installed torch: with its CUDA part in sight every binary would be tied to CUDA.

    Kept apart by the package's place, so that two Pythons do not overwrite each other.
    """
    mark = hashlib.sha256(str(package).encode()).hexdigest()[:12]
    folder = cache / f"libtorch-{VERSION}-python-{mark}"
    with locked(cache), fresh(folder) as work:
        (work / "lib").mkdir()
        (work / "include").symlink_to(package / "include")
        for library in libraries_of(package):
            (work / "lib" / library.name).symlink_to(library)
        (work / "lib/libtorch.so").symlink_to("libtorch_cpu.so")
    return folder


def libraries_of(package: Path) -> List[Path]:
    """libtorch_cpu.so of an installed torch and what it is linked with, wherever pip has put that."""
    wanted = ["lib/libtorch_cpu.so", "lib/libc10.so", "lib/libgomp*"]
    beside = ["nvidia/cu13/lib/libcudart.so.13", "nvidia/cu13/lib/libcupti.so.13"]
    found = [path for pattern in wanted for path in sorted(package.glob(pattern))]
    return found + [package.parent / path for path in beside if (package.parent / path).is_file()]


def from_wheels(cache: Path) -> Path:
    """The wheels' libtorch in the cache, fetched and unpacked there if it is not yet."""
    folder = cache / f"libtorch-{VERSION}-cpu"
    if fault_of(folder) is None:
        return folder
    require_platform()
    with locked(cache):
        if fault_of(folder) is None:  # another checkout was faster
            return folder
        wheels = fetch_all(cache / "downloads")
        unpack_all(wheels, folder)
        shutil.rmtree(cache / "downloads", ignore_errors=True)
    return folder


def require_platform() -> None:
    """The wheels are for Linux on x86-64 with glibc 2.28 or newer (Debian 10, Ubuntu 20.04). Elsewhere than on Linux
    libtorch has no libtorch_cpu.so, which the build needs, so that another libtorch would not help."""
    if platform.system() != "Linux":
        raise Trouble(f"only the ETL half of humea builds on {platform.system()}: cargo build --no-default-features")
    if platform.machine() != "x86_64":
        raise Trouble(f"no wheel of libtorch for Linux on {platform.machine()}: install torch {VERSION} into the active "
                      f"Python, {OTHERWISE}")
    library, version = platform.libc_ver()
    if library == "glibc" and tuple(map(int, version.split(".")[:2])) < (2, 28):
        raise Trouble(f"the wheels of libtorch need glibc 2.28 and this system has {version}: use a newer system, {OTHERWISE}")


# --------------------------------------------------------------------------------------------------------- fetching


def pip(arguments: List[str]) -> subprocess.CompletedProcess:
    """Runs pip, so that the index, proxies and certificates configured for it apply."""
    return subprocess.run([sys.executable, "-m", "pip", *arguments], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False, universal_newlines=True)


def addresses(wheels: List[Wheel]) -> Dict[str, str]:
    """Where pip would fetch each wheel from."""
    if pip(["--version"]).returncode:
        raise Trouble(f"{sys.executable} has no pip: apt-get install python3-pip, {OTHERWISE}")
    tags = [word for tag in PLATFORMS for word in ("--platform", tag)]
    answer = pip(["install", "--dry-run", "--ignore-installed", "--no-deps", "--only-binary=:all:", "--quiet",
                  "--disable-pip-version-check", "--ignore-requires-python", "--target", os.devnull + ".none", *tags,
                  "--implementation", "cp", "--python-version", "3.11", "--abi", "cp311", "--report", "-",
                  *(f"{wheel.name}=={wheel.version}" for wheel in wheels)])
    if "no such option" in answer.stderr:
        raise Trouble(f"pip 22.2 or newer is needed: {sys.executable} -m pip install --upgrade pip, {OTHERWISE}")
    if answer.returncode:
        reason = next((line for line in reversed(answer.stderr.splitlines()) if line.startswith("ERROR")), answer.stderr)
        raise Trouble(f"pip cannot find the wheels of libtorch ({reason.strip()}): is there a network? Try again, {OTHERWISE}")
    installs = json.loads(answer.stdout)["install"]
    return {item["metadata"]["name"].lower().replace("_", "-"): item["download_info"]["url"] for item in installs}


def opener() -> urllib.request.OpenerDirector:
    """Opens addresses through the proxy and with the certificates that pip is configured with, if it is."""
    settings = dict(re.findall(r"^[^=\n]*\.(cert|proxy)='(.*)'$", pip(["config", "list"]).stdout, re.MULTILINE))
    handlers: List[urllib.request.BaseHandler] = []
    if settings.get("proxy"):
        handlers.append(urllib.request.ProxyHandler({"http": settings["proxy"], "https": settings["proxy"]}))
    if settings.get("cert"):
        import ssl

        handlers.append(urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=settings["cert"])))
    return urllib.request.build_opener(*handlers)


class Progress:
    """One line: drawn over and over on a terminal, said once elsewhere."""

    def __init__(self, total: int) -> None:
        self.total, self.done, self.drawn, self.begun = total, 0, 0.0, time.monotonic()
        self.live = sys.stderr.isatty()
        if not self.live:
            print(f"libtorch: fetching {total / 1e6:.0f} MB (once for all checkouts)", file=sys.stderr, flush=True)

    def add(self, size: int) -> None:
        """So many more bytes are on disk."""
        self.done += size
        now = time.monotonic()
        if self.live and (now - self.drawn > 0.2 or self.done >= self.total):
            self.drawn = now
            speed = self.done / max(now - self.begun, 1e-3) / 1e6
            print(f"\rlibtorch: fetching {self.done / 1e6:.0f} / {self.total / 1e6:.0f} MB, {speed:.0f} MB/s  ",
                  end="\n" if self.done >= self.total else "", file=sys.stderr, flush=True)


def fetch_all(folder: Path) -> List[Path]:
    """All wheels in `folder`, each with the hash it must have."""
    folder.mkdir(parents=True, exist_ok=True)
    places = addresses(WHEELS)
    browser = opener()
    progress = Progress(sum(wheel.size for wheel in WHEELS))
    files = []
    for wheel in WHEELS:
        target = folder / f"{wheel.name}-{wheel.version}.whl"
        fetch(browser, places[wheel.name], target, wheel.sha256, wheel.size, progress.add)
        files.append(target)
    return files


def fetch(browser, url: str, target: Path, sha256: str, size: int, advanced: Callable[[int], None]) -> None:
    """Downloads `url` to `target`, going on where an earlier attempt ended; the hash decides whether it is whole."""
    if target.is_file():
        advanced(size)
        return
    part = target.with_name(target.name + ".part")
    if part.is_file():
        advanced(part.stat().st_size)
    reason = None
    for pause in (0.2, 1, 3, 0):
        try:
            append(browser, url, part, advanced)
        except (OSError, ValueError) as error:  # URLError is an OSError; ValueError: not an address
            reason = error
        if part.is_file() and part.stat().st_size >= size:
            break
        time.sleep(pause)
    else:
        have = part.stat().st_size if part.is_file() else 0
        raise Trouble(f"{target.name} broke off at {have} of {size} bytes ({reason or 'the connection was closed'}): "
                      f"run it again to go on from there, {OTHERWISE}")
    check(part, sha256)
    part.rename(target)


def append(browser, url: str, part: Path, advanced: Callable[[int], None]) -> None:
    """One attempt: asks for what is missing and appends it."""
    have = part.stat().st_size if part.is_file() else 0
    request = urllib.request.Request(url)
    if have and not url.startswith("file:"):
        request.add_header("Range", f"bytes={have}-")
    with browser.open(request, timeout=60) as answer:
        resumed = getattr(answer, "status", None) == 206
        if have and not resumed:  # the server sends all of it again
            advanced(-have)
        with open(part, "ab" if resumed else "wb") as out:
            for block in iter(lambda: answer.read(1 << 20), b""):
                out.write(block)
                advanced(len(block))


def check(part: Path, sha256: str) -> None:
    """Removes a file that does not have its hash: going on from it could never end well."""
    digest = hashlib.sha256()
    with open(part, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    if digest.hexdigest() != sha256:
        part.unlink()
        raise Trouble(f"{part.name[:-5]} does not have the SHA-256 it was published with (expected {sha256}, "
                      f"got {digest.hexdigest()}): it was removed; try again, or ask whoever runs the index")


# -------------------------------------------------------------------------------------------------------- unpacking


def unpack_all(wheels: List[Path], folder: Path) -> None:
    """Takes the headers and the libraries of the CPU part out of the wheels; `folder` appears complete or not at all."""
    with fresh(folder) as work:
        (work / "lib").mkdir()
        for wheel, file in zip(WHEELS, wheels):
            with zipfile.ZipFile(file) as archive:
                for name, member in wheel.libraries.items():
                    extract(archive, member, work / "lib" / name)
                for member in archive.namelist():
                    if member.startswith("torch/include/") and not member.endswith("/"):
                        extract(archive, member, work / member[len("torch/"):])
        (work / "lib/libtorch.so").symlink_to("libtorch_cpu.so")
        fault = fault_of(work)
        if fault:
            raise Trouble(f"the wheels are not what they should be: {fault}")


def extract(archive: zipfile.ZipFile, member: str, target: Path) -> None:
    """One file of an archive, with its checksum verified by zipfile."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(member) as source, open(target, "wb") as out:
        shutil.copyfileobj(source, out, 1 << 20)


@contextlib.contextmanager
def fresh(folder: Path) -> Iterator[Path]:
    """A new folder beside `folder` that takes its place when the block ends well, and goes when it does not."""
    work = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        yield work
        os.chmod(work, 0o755)
        if folder.exists():
            shutil.rmtree(folder)
        work.rename(folder)
    finally:
        shutil.rmtree(work, ignore_errors=True)


@contextlib.contextmanager
def locked(cache: Path) -> Iterator[None]:
    """Keeps two checkouts from filling the cache at once; the second waits."""
    cache.mkdir(parents=True, exist_ok=True)
    with open(cache / ".lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            print("libtorch: waiting for another checkout that is fetching it", file=sys.stderr, flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


# ------------------------------------------------------------------------------------------------------ the command


def point(link: Path, folder: Path) -> None:
    """Makes `link` point to `folder`, in one step."""
    if link.exists() and not link.is_symlink():
        raise Trouble(f"{link} is in the way: it should be a link; remove it")
    new = link.with_name(link.name + ".new")
    with contextlib.suppress(FileNotFoundError):
        new.unlink()
    new.symlink_to(folder)
    new.replace(link)


def require_compiler() -> None:
    """tch compiles a C++ layer over libtorch."""
    if not any(shutil.which(name) for name in (os.environ.get("CXX", ""), "c++", "g++", "clang++") if name):
        raise Trouble("no C++ compiler: apt-get install g++ make")


def provide(link: Path) -> Path:
    """The folder `link` points to afterwards."""
    folder = from_environment()
    if folder is None and fault_of(link) is None:
        return link.resolve()
    cache = cache_folder()
    folder = folder or from_python(cache) or from_wheels(cache)
    point(link, folder)
    return folder


def main() -> int:
    """Exit code 0, or 1 with one line that says why."""
    try:
        require_compiler()
        folder = provide(CHECKOUT / ".libtorch")
    except Trouble as trouble:
        print(f"libtorch: {trouble}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"libtorch: {error}; is {cache_folder()} writable and is there 1.2 GB of room?", file=sys.stderr)
        return 1
    print(f"libtorch: {VERSION} in {folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
