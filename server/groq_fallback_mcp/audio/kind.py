"""What kind of audio some bytes are, told by their content and never by a file's name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, overload

__all__ = ["HEAD_BYTES", "AudioKind", "Content", "MpegFrame", "id3_length", "mpeg_frame", "sniff"]

HEAD_BYTES = 65_536


class Content(Protocol):
    """Bytes, or what can be looked at as if it were."""

    def __len__(self) -> int: ...
    def startswith(self, prefix: bytes, /) -> bool:
        """As of bytes."""
        ...

    @overload
    def __getitem__(self, where: int, /) -> int: ...
    @overload
    def __getitem__(self, where: slice, /) -> bytes: ...


class AudioKind(StrEnum):
    """The containers Groq transcribes; the value is the file extension it expects."""

    FLAC = "flac"
    MP3 = "mp3"
    MP4 = "mp4"
    MPEG = "mpeg"
    MPGA = "mpga"
    M4A = "m4a"
    OGG = "ogg"
    WAV = "wav"
    WEBM = "webm"

    @property
    def extension(self) -> str:
        """The file extension, without the dot."""
        return self.value

    @property
    def media_type(self) -> str:
        """The media type to send it with."""
        return _MEDIA_TYPE[self]


_MEDIA_TYPE: Mapping[AudioKind, str] = {
    AudioKind.FLAC: "audio/flac",
    AudioKind.MP3: "audio/mpeg",
    AudioKind.MP4: "audio/mp4",
    AudioKind.MPEG: "video/mpeg",
    AudioKind.MPGA: "audio/mpeg",
    AudioKind.M4A: "audio/mp4",
    AudioKind.OGG: "audio/ogg",
    AudioKind.WAV: "audio/wav",
    AudioKind.WEBM: "audio/webm",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class MpegFrame:
    """An MPEG audio frame header. `length` is in bytes, `samples` per channel and frame."""

    layer: int
    bitrate: int
    sample_rate: int
    samples: int
    length: int
    version_1: bool
    mono: bool


def sniff(head: bytes) -> AudioKind | None:
    """The kind of the file that begins with `head`, None when it is no audio Groq takes.

    `head` is the first `HEAD_BYTES` bytes of the file, or all of it when it is shorter.
    """
    if head.startswith(b"ID3"):
        after = id3_length(head)
        # A long tag (cover art) hides what follows; nearly always it is MP3, and a wrong guess is refused upstream.
        return AudioKind.MP3 if after >= len(head) else _untagged(head[after:])
    return _untagged(head)


def id3_length(content: Content) -> int:
    """Bytes taken by an ID3v2 tag at the start, 0 without one."""
    if not content.startswith(b"ID3") or len(content) < 10:  # noqa: PLR2004 - the tag's header
        return 0
    size = 0
    for byte in content[6:10]:
        size = size << 7 | byte & 0x7F
    return 10 + size + (10 if content[5] & 0x10 else 0)


def mpeg_frame(content: Content, at: int) -> MpegFrame | None:
    """The MPEG audio frame header at offset `at`, None when there is no valid one."""
    header = int.from_bytes(content[at : at + 4])
    version, layer_bits = header >> 19 & 3, header >> 17 & 3
    bitrate_index, rate_index = header >> 12 & 15, header >> 10 & 3
    if len(content) < at + 4 or header >> 21 != 0x7FF:  # noqa: PLR2004 - eleven bits of sync
        return None
    if version == 1 or layer_bits == 0 or bitrate_index in {0, 15} or rate_index == 3:  # noqa: PLR2004 - reserved values
        return None
    layer, version_1 = 4 - layer_bits, version == 3  # noqa: PLR2004 - coded backwards
    bitrate = _KBIT[version_1, layer][bitrate_index - 1] * 1000
    sample_rate = (44_100, 48_000, 32_000)[rate_index] // {3: 1, 2: 2, 0: 4}[version]
    samples = 384 if layer == 1 else 576 if layer == 3 and not version_1 else 1152  # noqa: PLR2004 - layer numbers
    padding = header >> 9 & 1
    slot = 4 if layer == 1 else 1
    return MpegFrame(
        layer=layer,
        bitrate=bitrate,
        sample_rate=sample_rate,
        samples=samples,
        length=(samples // 8 // slot * bitrate // sample_rate + padding) * slot,
        version_1=version_1,
        mono=header >> 6 & 3 == 3,  # noqa: PLR2004 - the channel mode's code for mono
    )


_V1_L1 = (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448)
_V1_L2 = (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384)
_V1_L3 = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_V2_L1 = (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256)
_V2_L23 = (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_KBIT: Mapping[tuple[bool, int], tuple[int, ...]] = {
    (True, 1): _V1_L1,
    (True, 2): _V1_L2,
    (True, 3): _V1_L3,
    (False, 1): _V2_L1,
    (False, 2): _V2_L23,
    (False, 3): _V2_L23,
}
_M4A_BRANDS = {b"M4A ", b"M4B ", b"M4P "}
_PICTURE_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"mif1", b"msf1", b"avif", b"avis", b"crx ", b"jxl "}
_OGG_CODECS = (b"OpusHead", b"\x01vorbis", b"\x7fFLAC", b"Speex   ")


def _untagged(head: bytes) -> AudioKind | None:
    kind: AudioKind | None = None
    if head.startswith(b"fLaC"):
        kind = AudioKind.FLAC
    elif head.startswith(b"RIFF") and head[8:12] == b"WAVE":
        kind = AudioKind.WAV
    elif head.startswith(b"OggS"):
        kind = AudioKind.OGG if any(codec in head[:4096] for codec in _OGG_CODECS) else None
    elif head[4:8] == b"ftyp":
        kind = _iso_kind(head[8:12])
    elif head.startswith(b"\x1a\x45\xdf\xa3"):
        kind = AudioKind.WEBM if b"\x42\x82\x84webm" in head[:128] else None
    elif head.startswith(b"\x00\x00\x01\xba"):
        kind = AudioKind.MPEG
    else:
        kind = _mpeg_kind(head)
    return kind


def _iso_kind(brand: bytes) -> AudioKind | None:
    if brand in _PICTURE_BRANDS:
        return None
    return AudioKind.M4A if brand in _M4A_BRANDS else AudioKind.MP4


def _mpeg_kind(head: bytes) -> AudioKind | None:
    """Bare MPEG audio. Twelve bits of sync occur by chance, so a second frame must follow where `head` reaches it."""
    frame = mpeg_frame(head, 0)
    if frame is None or (len(head) >= frame.length + 4 and mpeg_frame(head, frame.length) is None):
        return None
    if len(head) < frame.length:
        return None
    return AudioKind.MP3 if frame.layer == 3 else AudioKind.MPGA  # noqa: PLR2004 - layer III is MP3
