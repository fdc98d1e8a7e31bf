#!/usr/bin/env python3
"""Tests of libtorch.py against folders and a server on loopback that it makes itself: `python3 scripts/test_libtorch.py`."""

from __future__ import annotations

import hashlib
import http.server
import io
import os
import sys
import tempfile
import threading
import time
import unittest
import urllib.request
import zipfile
from pathlib import Path
from unittest import mock

sys.path.insert(0, str(Path(__file__).resolve().parent))
import libtorch  # noqa: E402  (the folder of this file must be on the path first)

CONTENT = bytes(range(256)) * 40
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server(http.server.BaseHTTPRequestHandler):
    """Serves CONTENT; `/ranges` honours Range, `/whole` does not, `/short` closes after 1000 bytes, `/404` is missing."""

    requests = []

    def do_GET(self):
        Server.requests.append((self.path, self.headers.get("Range")))
        if self.path == "/404":
            self.send_error(404)
            return
        begin = 0
        if self.path != "/whole" and self.headers.get("Range"):
            begin = int(self.headers["Range"][len("bytes="):-1])
        self.send_response(206 if begin else 200)
        self.send_header("Content-Length", str(len(CONTENT) - begin))
        self.end_headers()
        self.wfile.write(CONTENT[begin:begin + 1000] if self.path == "/short" else CONTENT[begin:])

    def log_message(self, *_arguments):
        pass


def libtorch_folder(folder: Path, version: str = libtorch.VERSION) -> Path:
    """The least that passes for a libtorch."""
    (folder / "lib").mkdir(parents=True)
    (folder / "lib/libtorch_cpu.so").write_bytes(b"ELF")
    header = folder / libtorch.VERSION_HEADER
    header.parent.mkdir(parents=True)
    parts = zip(("MAJOR", "MINOR", "PATCH"), version.split("."))
    header.write_text("".join(f"#define TORCH_VERSION_{name} {number}\n" for name, number in parts))
    return folder


class InFolder(unittest.TestCase):
    """A folder of its own for each test, and no pauses."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        for patch in (mock.patch.object(time, "sleep"), mock.patch.dict(os.environ)):
            patch.start()
            self.addCleanup(patch.stop)
        for name in ("LIBTORCH", "VIRTUAL_ENV", "CONDA_PREFIX"):
            os.environ.pop(name, None)


class Fetching(InFolder):
    @classmethod
    def setUpClass(cls):
        cls.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
        threading.Thread(target=cls.server.serve_forever, daemon=True).start()

    @classmethod
    def tearDownClass(cls):
        cls.server.shutdown()
        cls.server.server_close()

    def setUp(self):
        super().setUp()
        Server.requests.clear()
        self.target = self.folder / "torch.whl"
        self.part = self.folder / "torch.whl.part"
        self.advanced = 0

    def fetch(self, path, sha256=SHA256):
        browser = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        url = f"http://127.0.0.1:{self.server.server_port}/{path}"

        def add(size):
            self.advanced += size

        libtorch.fetch(browser, url, self.target, sha256, len(CONTENT), add)

    def test_a_download_is_whole(self):
        self.fetch("ranges")
        self.assertEqual(self.target.read_bytes(), CONTENT)
        self.assertFalse(self.part.exists())
        self.assertEqual(self.advanced, len(CONTENT))

    def test_an_interrupted_download_goes_on_where_it_ended(self):
        self.part.write_bytes(CONTENT[:3000])
        self.fetch("ranges")
        self.assertEqual(Server.requests, [("/ranges", "bytes=3000-")])
        self.assertEqual(self.target.read_bytes(), CONTENT)
        self.assertEqual(self.advanced, len(CONTENT))

    def test_a_server_without_ranges_starts_over(self):
        self.part.write_bytes(CONTENT[:3000])
        self.fetch("whole")
        self.assertEqual(self.target.read_bytes(), CONTENT)
        self.assertEqual(self.advanced, len(CONTENT))

    def test_a_wrong_hash_removes_the_file(self):
        with self.assertRaisesRegex(libtorch.Trouble, "SHA-256"):
            self.fetch("ranges", "0" * 64)
        self.assertEqual(list(self.folder.iterdir()), [])

    def test_a_corrupt_beginning_is_found_out(self):
        self.part.write_bytes(b"x" * 3000)
        with self.assertRaisesRegex(libtorch.Trouble, "SHA-256"):
            self.fetch("ranges")

    def test_a_truncated_download_is_kept_to_go_on_from(self):
        with self.assertRaisesRegex(libtorch.Trouble, r"broke off at 4000 of 10240 bytes .*run it again"):
            self.fetch("short")
        self.assertEqual(self.part.read_bytes(), CONTENT[:4000])
        self.assertFalse(self.target.exists())
        self.fetch("ranges")
        self.assertEqual(self.target.read_bytes(), CONTENT)

    def test_a_missing_file_is_said_with_its_reason(self):
        with self.assertRaisesRegex(libtorch.Trouble, "404"):
            self.fetch("404")

    def test_a_finished_file_is_not_fetched_again(self):
        self.target.write_bytes(CONTENT)
        self.fetch("ranges")
        self.assertEqual(Server.requests, [])

    def test_a_file_address_works_too(self):
        source = self.folder / "source"
        source.write_bytes(CONTENT)
        libtorch.fetch(libtorch.opener(), source.as_uri(), self.target, SHA256, len(CONTENT), lambda _size: None)
        self.assertEqual(self.target.read_bytes(), CONTENT)


class Finding(InFolder):
    def test_the_environment_comes_first(self):
        os.environ["LIBTORCH"] = str(libtorch_folder(self.folder / "mine"))
        link = self.folder / "link"
        self.assertEqual(libtorch.provide(link), self.folder / "mine")
        self.assertEqual(link.resolve(), (self.folder / "mine").resolve())

    def test_a_wrong_one_in_the_environment_is_an_error(self):
        for folder, words in ((self.folder / "none", "include/torch"),
                              (libtorch_folder(self.folder / "old", "2.4.0"), "is libtorch 2.4.0")):
            os.environ["LIBTORCH"] = str(folder)
            with self.assertRaisesRegex(libtorch.Trouble, words):
                libtorch.from_environment()

    def test_build_version_counts_too(self):
        folder = libtorch_folder(self.folder / "mine", "1.0.0")
        (folder / "build-version").write_text("2.11.0+cpu\n")
        self.assertIsNone(libtorch.fault_of(folder))

    def test_a_link_that_works_is_kept(self):
        link = self.folder / "link"
        link.symlink_to(libtorch_folder(self.folder / "mine"))
        with mock.patch.object(libtorch, "from_python", side_effect=AssertionError):
            self.assertEqual(libtorch.provide(link), (self.folder / "mine").resolve())

    def test_a_folder_in_the_way_is_not_removed(self):
        (self.folder / "link").mkdir()
        with self.assertRaisesRegex(libtorch.Trouble, "in the way"):
            libtorch.point(self.folder / "link", self.folder)

    def installed(self, version):
        """A Python environment with something that looks like torch, and links to it."""
        python = self.folder / "venv/bin/python"
        python.parent.mkdir(parents=True)
        packages = self.folder / "venv/packages"
        package = libtorch_folder(packages / "torch")
        (package / "__init__.py").write_text("raise SystemExit('must not be imported')")
        for name in ("lib/libc10.so", "lib/libgomp.so.1", "lib/libtorch_cuda.so"):
            (package / name).write_bytes(b"ELF")
        cuda = packages / "nvidia/cu13/lib"
        cuda.mkdir(parents=True)
        (cuda / "libcudart.so.13").write_bytes(b"ELF")
        info = packages / f"torch-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: torch\nVersion: {version}\n")
        python.write_text(f'#!/bin/sh\nPYTHONPATH="{packages}" exec "{sys.executable}" "$@"\n')
        python.chmod(0o755)
        return python, package

    def test_an_installed_torch_is_linked_without_its_cuda_part(self):
        python, package = self.installed("2.11.0+cu130")
        with mock.patch.object(libtorch, "pythons", return_value=[str(python)]):
            folder = libtorch.from_python(self.folder / "cache")
            self.assertEqual(libtorch.from_python(self.folder / "cache"), folder)  # a second time too
        self.assertIsNone(libtorch.fault_of(folder))
        names = sorted(path.name for path in (folder / "lib").iterdir())
        self.assertEqual(names, ["libc10.so", "libcudart.so.13", "libgomp.so.1", "libtorch.so", "libtorch_cpu.so"])
        self.assertEqual((folder / "lib/libtorch.so").resolve(), (package / "lib/libtorch_cpu.so").resolve())

    def test_another_version_is_passed_over(self):
        python, _package = self.installed("2.10.1")
        with mock.patch.object(libtorch, "pythons", return_value=[str(python), "/nowhere/python"]):
            self.assertIsNone(libtorch.from_python(self.folder / "cache"))

    def test_the_cache_folder_can_be_chosen(self):
        os.environ.pop("HUMEA_CACHE", None)
        os.environ["XDG_CACHE_HOME"] = "/x"
        self.assertEqual(libtorch.cache_folder(), Path("/x/humea"))
        os.environ["HUMEA_CACHE"] = "/y"
        self.assertEqual(libtorch.cache_folder(), Path("/y"))


class Unpacking(InFolder):
    def wheels(self, leave_out=""):
        """Archives with the members the script takes out, and some it leaves."""
        files = []
        for wheel in libtorch.WHEELS:
            file = self.folder / f"{wheel.name}.whl"
            with zipfile.ZipFile(file, "w") as archive:
                for member in wheel.libraries.values():
                    if not leave_out or leave_out not in member:
                        archive.writestr(member, b"ELF")
                if wheel.name == "torch":
                    numbers = "".join(f"#define TORCH_VERSION_{name} {number}\n"
                                      for name, number in (("MAJOR", 2), ("MINOR", 11), ("PATCH", 0)))
                    archive.writestr(f"torch/{libtorch.VERSION_HEADER}", numbers)
                    archive.writestr("torch/lib/libtorch_cuda.so", b"large")
            files.append(file)
        return files

    def test_the_cpu_part_is_taken_out(self):
        libtorch.unpack_all(self.wheels(), self.folder / "libtorch")
        self.assertIsNone(libtorch.fault_of(self.folder / "libtorch"))
        names = sorted(path.name for path in (self.folder / "libtorch/lib").iterdir())
        self.assertEqual(names, ["libc10.so", "libcudart.so.13", "libcupti.so.13", "libgomp.so.1", "libtorch.so",
                                 "libtorch_cpu.so"])

    def test_half_a_wheel_leaves_no_folder(self):
        with self.assertRaises(KeyError):
            libtorch.unpack_all(self.wheels(leave_out="libcupti"), self.folder / "libtorch")
        self.assertFalse([path for path in self.folder.iterdir() if path.is_dir()])

    def test_the_second_checkout_waits_and_finds_it_done(self):
        def fetched(_folder):
            time.monotonic()
            return self.wheels()

        with mock.patch.object(libtorch, "fetch_all", side_effect=fetched) as fetch, \
                mock.patch.object(libtorch, "require_platform"), mock.patch("sys.stderr", io.StringIO()):
            threads = [threading.Thread(target=libtorch.from_wheels, args=(self.folder,)) for _ in range(3)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            self.assertEqual(fetch.call_count, 1)
        self.assertIsNone(libtorch.fault_of(self.folder / f"libtorch-{libtorch.VERSION}-cpu"))


class Errors(InFolder):
    def test_every_missing_thing_is_one_line(self):
        def answer(returncode, stderr):
            return mock.Mock(returncode=returncode, stderr=stderr, stdout="")

        with mock.patch.object(libtorch, "pip", return_value=answer(1, "No module named pip")):
            self.assertRaisesRegex(libtorch.Trouble, "has no pip: apt-get install", libtorch.addresses, [])
        old = [answer(0, ""), answer(2, "no such option: --report")]
        with mock.patch.object(libtorch, "pip", side_effect=old):
            self.assertRaisesRegex(libtorch.Trouble, "pip 22.2 or newer", libtorch.addresses, [])
        offline = [answer(0, ""), answer(1, "WARNING: x\nERROR: No matching distribution found")]
        with mock.patch.object(libtorch, "pip", side_effect=offline):
            self.assertRaisesRegex(libtorch.Trouble, "No matching.*is there a network", libtorch.addresses, [])
        with mock.patch("shutil.which", return_value=None):
            self.assertRaisesRegex(libtorch.Trouble, r"apt-get install g\+\+", libtorch.require_compiler)
        with mock.patch("platform.machine", return_value="riscv64"):
            self.assertRaisesRegex(libtorch.Trouble, "riscv64.*LIBTORCH", libtorch.require_platform)
        with mock.patch("platform.system", return_value="Darwin"):
            self.assertRaisesRegex(libtorch.Trouble, "Darwin: cargo build --no-default-features$", libtorch.require_platform)
        with mock.patch("platform.libc_ver", return_value=("glibc", "2.17")):
            self.assertRaisesRegex(libtorch.Trouble, "glibc 2.28", libtorch.require_platform)


if __name__ == "__main__":
    unittest.main()
