"""What is no recording never leaves the machine, whatever it is called and whatever it happens to contain."""

from __future__ import annotations

import base64
import bz2
import gzip
import io
import lzma
import random
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Mapping

import pytest
from effort import times
from tone_speech import script, wav

from groq_fallback_mcp.audio.kind import AudioKind, recognize
from groq_fallback_mcp.audio.sound_length import extent

SECRET = b"GROQ_API_KEY=made-up-secret\n"
Make = Callable[[random.Random, int], bytes]


def sent_as_it_is(content: bytes) -> bool:
    """Whether the whole file would be sent, which takes that it is one recording from its first byte to its last."""
    found = recognize(content)
    return found is not None and isinstance(found.kind, AudioKind) and extent(content[found.start :], found.kind).whole


def der(rng: random.Random, size: int) -> bytes:
    """A sequence, as of a key, around what looks random."""
    return b"\x30\x82" + size.to_bytes(2) + rng.randbytes(size)


def pem(rng: random.Random, size: int) -> bytes:
    """A key in its armor."""
    lines = base64.encodebytes(rng.randbytes(size * 3 // 4))
    return b"-----BEGIN PRIVATE KEY-----\n" + lines + b"-----END PRIVATE KEY-----\n"


def text(rng: random.Random, size: int) -> bytes:
    """Words."""
    return b" ".join(rng.choices((b"password", b"=", b"\n", b"host", "größe".encode(), b"42"), k=size // 6))


def aligned(rng: random.Random, size: int) -> bytes:
    """Records of a program's own format: small numbers, zeros, runs of ones."""
    return b"".join(
        rng.choices((b"\0\0\0\1", b"\xff\xff\xff\xff", b"\xff\xfb\x90\0", b"\0\0\0\0", rng.randbytes(4)), k=size // 4)
    )


KINDS: Mapping[str, Make] = {
    "random": lambda rng, size: rng.randbytes(size),
    "DER": der,
    "PEM": pem,
    "base64": lambda rng, size: base64.b64encode(rng.randbytes(size * 3 // 4)),
    "text": text,
    "UTF-16": lambda rng, size: text(rng, size).decode().encode("utf-16"),
    "deflated": lambda rng, size: zlib.compress(rng.randbytes(size), wbits=-15),
    "zlib": lambda rng, size: zlib.compress(text(rng, size), rng.randrange(10)),
    "gzip": lambda rng, size: gzip.compress(rng.randbytes(size)),
    "records": aligned,
    "records behind zeros": lambda rng, size: bytes(rng.randrange(4096)) + aligned(rng, size),
    "ones": lambda rng, size: b"\xff" * rng.randrange(64) + rng.randbytes(size),
}


@pytest.mark.fault("B24")
@pytest.mark.parametrize("kind", KINDS)
def test_no_file_of_chance_is_sent(kind: str) -> None:
    """Of the size of keys and above. Nor is one of them taken for what can be converted."""
    rng = random.Random(kind)
    for _ in range(times(60)):
        content = KINDS[kind](rng, min(int(500 * 2 ** rng.uniform(0, 7)), 65_536))
        found = recognize(content)
        assert not sent_as_it_is(content), (found, content[:16].hex())
        assert found is None, (found, content[:16].hex())


def tar(recording: bytes, *, format_: int) -> bytes:
    """A backup of a recording and what lay beside it."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=format_) as archive:
        for name, body in (("a.mp3", recording), (".env", SECRET)):
            entry = tarfile.TarInfo(name)
            entry.size = len(body)
            archive.addfile(entry, io.BytesIO(body))
    return packed.getvalue()


def stored_zip(recording: bytes) -> bytes:
    """Not compressed, so that the frames are there as they were."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("a.mp3", recording)
        archive.writestr(".env", SECRET)
    return packed.getvalue()


def old_tar(recording: bytes) -> bytes:
    """Of before POSIX: only a checksum tells what it is."""
    packed = bytearray(tar(recording, format_=tarfile.USTAR_FORMAT))
    packed[257:265] = bytes(8)
    packed[148:156] = b" " * 8
    packed[148:156] = b"%06o\0 " % sum(packed[:512])
    return bytes(packed)


ARCHIVES: Mapping[str, Callable[[bytes], bytes]] = {
    "ustar": lambda mp3: tar(mp3, format_=tarfile.USTAR_FORMAT),
    "GNU tar": lambda mp3: tar(mp3, format_=tarfile.GNU_FORMAT),
    "pax": lambda mp3: tar(mp3, format_=tarfile.PAX_FORMAT),
    "tar of before POSIX": old_tar,
    "zip": stored_zip,
    "cpio": lambda mp3: b"070701" + b"0" * 104 + b"a.mp3\0" + mp3 + SECRET,
    "binary cpio": lambda mp3: b"\xc7\x71" + bytes(24) + b"a.mp3\0" + mp3 + SECRET,
    "ar": lambda mp3: b"!<arch>\na.mp3/" + b" " * 52 + mp3 + SECRET,
    "gzip": lambda mp3: gzip.compress(mp3 + SECRET, 0),
    "bzip2": lambda mp3: bz2.compress(mp3 + SECRET),
    "xz": lambda mp3: lzma.compress(mp3 + SECRET),
    "7z": lambda mp3: b"7z\xbc\xaf\x27\x1c" + bytes(26) + mp3 + SECRET,
    "rar": lambda mp3: b"Rar!\x1a\x07\x01\x00" + bytes(20) + mp3 + SECRET,
    "zstd": lambda mp3: b"\x28\xb5\x2f\xfd\x04\0" + mp3 + SECRET,
    "git pack": lambda mp3: b"PACK\0\0\0\2\0\0\0\1" + mp3 + SECRET,
    "SQLite": lambda mp3: b"SQLite format 3\0" + bytes(84) + mp3 + SECRET,
    "ELF": lambda mp3: b"\x7fELF\2\1\1" + bytes(57) + mp3 + SECRET,
    "PE": lambda mp3: b"MZ\x90\0" + bytes(60) + mp3 + SECRET,
    "Mach-O": lambda mp3: b"\xcf\xfa\xed\xfe" + bytes(28) + mp3 + SECRET,
    "PDF": lambda mp3: b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n" + mp3 + SECRET,
    "PNG": lambda mp3: b"\x89PNG\r\n\x1a\n" + mp3 + SECRET,
    "pcap": lambda mp3: b"\xd4\xc3\xb2\xa1\2\0\4\0" + bytes(16) + mp3 + SECRET,
    "DER": lambda mp3: b"\x30\x82\x04\xa4" + mp3 + SECRET,
    "disk image": lambda mp3: bytes(32_768) + b"\x01CD001\x01" + bytes(2_041) + mp3 + SECRET,
}


@pytest.mark.fault("B24")
@pytest.mark.parametrize("kind", ARCHIVES)
def test_an_archive_with_a_recording_in_it_is_no_recording(kind: str, record: Callable[[str, float], bytes]) -> None:
    """Whatever it is called: what lies beside the recording would be sent along."""
    assert recognize(ARCHIVES[kind](record("mp3", 2.0))) is None


BEGUN_OTHERWISE: Mapping[str, bytes] = {
    "a header of a program's own": b"\x07CAM\0\0\0\1" + bytes(range(1, 200)) + SECRET,
    "a header and zeros": b"\x07CAM\0\0\0\1" + bytes(4_000) + SECRET,
    "one frame by chance": b"\x07CAM" + b"\xff\xfb\x90\0" + bytes(413) + SECRET,
}


@pytest.mark.fault("B24")
@pytest.mark.parametrize("before", BEGUN_OTHERWISE)
def test_what_stands_before_the_first_frame_is_not_sent(before: str, record: Callable[[str, float], bytes]) -> None:
    """A stream that is joined in the middle begins so too: it is taken from its first frame on."""
    head, mp3 = BEGUN_OTHERWISE[before], record("mp3", 2.0)
    content = head + mp3
    found = recognize(content)
    assert found is not None
    assert SECRET not in content[found.start :]
    assert extent(content[found.start :], AudioKind.MP3).whole


CONTAINERS = ("wav", "flac", "ogg", "mp3", "mpga", "m4a", "mp4", "webm")


@pytest.mark.fault("B24")
@pytest.mark.parametrize("container", CONTAINERS)
def test_only_what_is_a_recording_to_its_last_byte_is_sent_as_it_is(
    container: str, record: Callable[[str, float], bytes]
) -> None:
    """A whole one, and one whose end is missing; not what somebody put behind it, in bytes of its own or in a tag."""
    recording = record(container, 2.0)
    assert sent_as_it_is(recording)
    assert not sent_as_it_is(recording + SECRET * 3)
    assert not sent_as_it_is(b"From: a@b\r\nContent-Type: audio/mpeg\r\n\r\n" + recording + SECRET)
    assert not sent_as_it_is(recording + random.Random(1).randbytes(3_000))
    assert not sent_as_it_is(recording + stored_zip(b""))
    kept = SECRET * (len(recording) // len(SECRET) + 4)
    tag = b"ID3\4\0\0" + bytes((len(kept) >> 21 & 127, len(kept) >> 14 & 127, len(kept) >> 7 & 127, len(kept) & 127)) + kept
    found = recognize(tag + recording)
    assert found is not None
    assert found.start >= len(tag) or not sent_as_it_is(tag + recording)


def test_a_recording_joined_of_many_with_a_tag_each_is_one(record: Callable[[str, float], bytes]) -> None:
    """As players of streams save it: each piece of ten seconds begins with a tag."""
    assert sent_as_it_is(record("mp3", 0.5) * 300)


@pytest.mark.fault("B23")
@pytest.mark.parametrize("container", ["wav", "flac", "ogg", "mp3", "mpga", "webm"])
@pytest.mark.parametrize("share", [0.3, 0.77])
def test_a_recording_that_ends_early_is_still_one(container: str, share: float, record: Callable[[str, float], bytes]) -> None:
    """It is sent, with a note."""
    recording = record(container, 4.0)
    assert sent_as_it_is(recording[: int(len(recording) * share)])


@pytest.mark.fault("B24")
@pytest.mark.parametrize("behind", [b"\0" * 512, b"\r\n", b"\0" * 65_536])
def test_padding_behind_a_recording_is_not_counted(behind: bytes) -> None:
    """Recorders and disks fill up to a block."""
    assert extent(wav(script(6), 6.0) + behind, AudioKind.WAV).whole
    assert not extent(wav(script(6), 6.0) + behind + b"secret=hunter2", AudioKind.WAV).whole
