"""What kind of audio some bytes are, told by their content and never by a file's name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, overload

__all__ = [
    "HEAD_BYTES",
    "AudioKind",
    "Content",
    "Convertible",
    "MpegFrame",
    "Recognized",
    "id3_length",
    "mpeg_frame",
    "recognize",
    "sniff",
]

HEAD_BYTES = 65_536
# Joined streams and players of chapters write several; each must be looked past.
MOST_TAGS = 8
MOST_ZEROS = 4 * 1024 * 1024
# A stream that is joined in the middle begins with the rest of a frame; the longest has 1,441 bytes (MP3) or 8,191 (AAC).
LONGEST_REST = 8_192
# Sync words occur by chance, frames that agree with each other and follow one another do not.
AGREEING_FRAMES = 3


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


class Convertible(StrEnum):
    """The containers that are decoded here and sent as FLAC; the value is a usual file extension.

    Each holds its sound itself. What names other files or addresses (playlists, manifests), and what has no structure of its
    own (raw PCM, text), is not here: it would let any file pass for audio.
    """

    AAC = "aac"
    AC3 = "ac3"
    AIFF = "aiff"
    AMR = "amr"
    APE = "ape"
    AU = "au"
    AVI = "avi"
    CAF = "caf"
    DSF = "dsf"
    DTS = "dts"
    EAC3 = "eac3"
    FLV = "flv"
    IFF = "iff"
    IRCAM = "sf"
    LATM = "latm"
    MKV = "mkv"
    MOV = "mov"
    MPC = "mpc"
    MPC8 = "mpc8"
    OGV = "ogv"
    OMA = "oma"
    QCP = "qcp"
    RF64 = "rf64"
    RM = "rm"
    SHN = "shn"
    SOX = "sox"
    TAK = "tak"
    TS = "ts"
    TTA = "tta"
    VOC = "voc"
    W64 = "w64"
    WMA = "wma"
    WV = "wv"
    XWMA = "xwma"

    @property
    def extension(self) -> str:
        """The file extension, without the dot."""
        return self.value

    @property
    def media_type(self) -> str:
        """A media type of our own for each: it never leaves this machine."""
        return f"audio/x-convertible-{self.value}"


@dataclass(frozen=True, slots=True)
class Recognized:
    """What a file is. `start`: bytes before the first frame that belong to no frame and no tag, to be skipped."""

    kind: AudioKind | Convertible
    start: int = 0


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
    if head.startswith(b"ID3") and id3_length(head) >= len(head):
        # A long tag (cover art) hides what follows; nearly always it is MP3, and a wrong guess is refused upstream.
        return AudioKind.MP3
    found = recognize(head)
    return found.kind if found is not None and isinstance(found.kind, AudioKind) else None


def recognize(content: Content) -> Recognized | None:
    """What a whole file is, None when it is no audio that can be sent or converted. It looks past tags and zeros."""
    at = _past_tags(content, 0)
    head = content[at : at + HEAD_BYTES]
    kind = _by_magic(head)
    if kind is not None:
        return Recognized(kind)
    zeros = _zeros(content, at)
    begin = _past_tags(content, at + zeros)
    head = content[begin : begin + HEAD_BYTES]
    found = _framed(head)
    if found is None:
        return None
    kind, skipped = found
    clean = zeros == 0 and skipped == 0
    return Recognized(kind, 0 if clean else begin + skipped)


def _past_tags(content: Content, at: int) -> int:
    for _ in range(MOST_TAGS):
        length = id3_length(content, at)
        if length == 0:
            break
        at += length
    return at


def _zeros(content: Content, at: int) -> int:
    """How many zero bytes are at offset `at`, at most MOST_ZEROS."""
    begin = at
    while at - begin < MOST_ZEROS:
        block = content[at : at + HEAD_BYTES]
        left = len(block.lstrip(b"\0"))
        at += len(block) - left
        if left or not block:
            break
    return at - begin


def id3_length(content: Content, at: int = 0) -> int:
    """Bytes taken by an ID3v2 tag at offset `at`, 0 without one."""
    head = content[at : at + 10]
    if not head.startswith(b"ID3") or len(head) < 10:  # noqa: PLR2004 - the tag's header
        return 0
    size = 0
    for byte in head[6:10]:
        size = size << 7 | byte & 0x7F
    return 10 + size + (10 if head[5] & 0x10 else 0)


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
_QUICKTIME_BOXES = {b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"}
_RIFF: Mapping[bytes, AudioKind | Convertible] = {
    b"WAVE": AudioKind.WAV,
    b"AVI ": Convertible.AVI,
    b"QLCM": Convertible.QCP,
    b"XWMA": Convertible.XWMA,
}
_FORM: Mapping[bytes, Convertible] = {
    b"AIFF": Convertible.AIFF,
    b"AIFC": Convertible.AIFF,
    b"8SVX": Convertible.IFF,
    b"16SV": Convertible.IFF,
}
_MAGIC: Mapping[bytes, AudioKind | Convertible] = {
    b"fLaC": AudioKind.FLAC,
    b"\x00\x00\x01\xba": AudioKind.MPEG,
    b"caff\x00": Convertible.CAF,
    b"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9\x00\xaa\x00\x62\xce\x6c": Convertible.WMA,
    b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\x00\x00": Convertible.W64,
    b"#!AMR": Convertible.AMR,
    b".snd": Convertible.AU,
    b"dns.": Convertible.AU,
    b"Creative Voice File\x1a": Convertible.VOC,
    b"TTA1": Convertible.TTA,
    b"wvpk": Convertible.WV,
    b"MAC ": Convertible.APE,
    b"FLV\x01": Convertible.FLV,
    b"DSD \x1c\x00": Convertible.DSF,
    b"FRM8\x00": Convertible.IFF,
    b"MP+": Convertible.MPC,
    b"MPCK": Convertible.MPC8,
    b"tBaK": Convertible.TAK,
    b".RMF\x00": Convertible.RM,
    b".ra\xfd": Convertible.RM,
    b".SoX": Convertible.SOX,
    b"XoS.": Convertible.SOX,
    b"ajkg": Convertible.SHN,
    b"ea3\x03": Convertible.OMA,
    b"EA3\x01": Convertible.OMA,
    b"\x7f\xfe\x80\x01": Convertible.DTS,
    b"\xfe\x7f\x01\x80": Convertible.DTS,
    b"\x1f\xff\xe8\x00": Convertible.DTS,
    b"\xff\x1f\x00\xe8": Convertible.DTS,
    b"\x64\xa3\x01\x00": Convertible.IRCAM,
    b"\x64\xa3\x02\x00": Convertible.IRCAM,
    b"\x64\xa3\x03\x00": Convertible.IRCAM,
    b"\x64\xa3\x04\x00": Convertible.IRCAM,
    b"\x00\x01\xa3\x64": Convertible.IRCAM,
    b"\x00\x02\xa3\x64": Convertible.IRCAM,
    b"\x00\x03\xa3\x64": Convertible.IRCAM,
    b"\x00\x04\xa3\x64": Convertible.IRCAM,
}


def _by_magic(head: bytes) -> AudioKind | Convertible | None:  # noqa: PLR0911 - a table whose rows differ in kind
    if head.startswith(b"RIFF"):
        return _RIFF.get(head[8:12])
    if head[:4] in {b"RF64", b"BW64"}:
        return Convertible.RF64 if head[8:12] == b"WAVE" else None
    if head.startswith(b"FORM"):
        return _FORM.get(head[8:12])
    if head.startswith(b"OggS"):
        return AudioKind.OGG if any(codec in head[:4096] for codec in _OGG_CODECS) else _other_ogg(head)
    if head[4:8] == b"ftyp":
        return _iso_kind(head[8:12])
    if head[4:8] in _QUICKTIME_BOXES and head[:1] == b"\0":
        return Convertible.MOV
    if head.startswith(b"\x1a\x45\xdf\xa3"):
        return _ebml_kind(head)
    if _is_transport_stream(head):
        return Convertible.TS
    return next((kind for magic, kind in _MAGIC.items() if head.startswith(magic)), None)


def _other_ogg(head: bytes) -> Convertible | None:
    return Convertible.OGV if len(head) > 64 and b"fishead\0" in head[:64] else None  # noqa: PLR2004 - the first page's head


def _iso_kind(brand: bytes) -> AudioKind | None:
    if brand in _PICTURE_BRANDS:
        return None
    return AudioKind.M4A if brand in _M4A_BRANDS else AudioKind.MP4


def _ebml_kind(head: bytes) -> AudioKind | Convertible | None:
    """By the document type, which writers pad, and whose size they write in more bytes than it needs."""
    at = head.find(b"\x42\x82", 4, 256)
    if at < 0 or at + 3 > len(head) or head[at + 2] == 0:
        return None
    length = 9 - head[at + 2].bit_length()
    body = at + 2 + length
    size = int.from_bytes(head[at + 2 : body]) & ((1 << 7 * length) - 1)
    if size > 64:  # noqa: PLR2004 - far longer than any name
        return None
    name = head[body : body + size].rstrip(b"\0 ")
    return AudioKind.WEBM if name == b"webm" else Convertible.MKV if name == b"matroska" else None


def _is_transport_stream(head: bytes) -> bool:
    """A sync byte at the same place of five packets, which have 188 bytes, or 192 or 204 with what recorders add."""
    return any(
        len(head) >= begin + 4 * size + 1 and all(head[begin + n * size] == 0x47 for n in range(5))  # noqa: PLR2004 - sync
        for begin, size in ((0, 188), (4, 192), (0, 204))
    )


def _framed(head: bytes) -> tuple[AudioKind | Convertible, int] | None:
    """The kind of what is a row of frames without a container, and where the first one begins."""
    at = head.find(b"\xff", 0, LONGEST_REST)
    if at != 0 and _is_something_else(head):
        return None
    while at >= 0:
        kind = _frames_at(head, at)
        if kind is not None:
            return kind, at
        at = head.find(b"\xff", at + 1, LONGEST_REST)
    for sync, length, found in ((b"\x0b\x77", _ac3_length, None), (b"\x56", _loas_length, Convertible.LATM)):
        if head.startswith(sync) and _row(head, 0, length):
            return found or (Convertible.EAC3 if _ac3_version(head) > 10 else Convertible.AC3), 0  # noqa: PLR2004 - Annex E
    return None


def _is_something_else(head: bytes) -> bool:
    """Whether a file that begins within no frame is one of another kind: an archive, a program, a document, text."""
    begin = head[:512]
    return begin.startswith(_OTHER_MAGIC) or all(byte in _TEXT for byte in begin[:16])


_TEXT = frozenset((*range(32, 127), 9, 10, 13))
_OTHER_MAGIC = (
    b"PK",
    b"%PDF",
    b"\x89PNG",
    b"\x7fELF",
    b"GIF8",
    b"MZ",
    b"\x1f\x8b",
    b"BZh",
    b"7z\xbc\xaf",
    b"\xfd7zXZ",
    b"SQLite format",
    b"\xca\xfe\xba\xbe",
    b"\xcf\xfa\xed\xfe",
    b"RIFF",
    b"FORM",
    b"OggS",
    b"Rar!",
    b"\x00\x00\x01\x00",
    b"BM",
    b"II*\0",
    b"MM\0*",
    b"wOF",
    b"\x28\xb5\x2f\xfd",
    b"\xd0\xcf\x11\xe0",
)


def _frames_at(head: bytes, at: int) -> AudioKind | Convertible | None:
    """The kind of the row of frames that begins here, None without one."""
    if _row(head, at, _adts_length):
        return Convertible.AAC
    frame = mpeg_frame(head, at)
    if frame is None or not _row(head, at, _mpeg_length):
        return None
    return AudioKind.MP3 if frame.layer == 3 else AudioKind.MPGA  # noqa: PLR2004 - layer III is MP3


class _Length(Protocol):
    def __call__(self, head: bytes, at: int) -> tuple[int, object] | None:
        """Bytes of the frame at `at`, and what all frames of a file have in common."""
        ...


def _row(head: bytes, at: int, length: _Length) -> bool:
    """Whether AGREEING_FRAMES follow one another from here, or as many as there are to the end."""
    common: object = None
    for number in range(AGREEING_FRAMES):
        if number and at + 8 > len(head):
            return at <= len(head)
        found = length(head, at)
        if found is None or (number and found[1] != common):
            return False
        common = found[1]
        at += found[0]
        if number == 0 and at > len(head):
            return False
    return True


def _mpeg_length(head: bytes, at: int) -> tuple[int, object] | None:
    frame = mpeg_frame(head, at)
    if frame is None or frame.length < 4:  # noqa: PLR2004 - its header
        return None
    return frame.length, (frame.layer, frame.sample_rate, frame.version_1)


def _adts_length(head: bytes, at: int) -> tuple[int, object] | None:
    header = int.from_bytes(head[at : at + 7])
    # twelve bits of sync, a version, two bits of layer that are zero
    if len(head) < at + 7 or header >> 44 != 0xFFF or header >> 41 & 3 or header >> 34 & 15 > 12:  # noqa: PLR2004 - rates
        return None
    size = header >> 13 & 0x1FFF
    return (size, header >> 32 & 0xFFFF) if size > 7 else None  # noqa: PLR2004 - its header


def _ac3_version(head: bytes) -> int:
    return head[5] >> 3 if len(head) > 5 else 0  # noqa: PLR2004 - bsid is in the sixth byte


def _ac3_length(head: bytes, at: int) -> tuple[int, object] | None:
    if head[at : at + 2] != b"\x0b\x77" or len(head) < at + 6:
        return None
    if head[at + 5] >> 3 > 10:  # noqa: PLR2004 - Annex E: the size stands in the header
        return ((int.from_bytes(head[at + 2 : at + 4]) & 0x7FF) + 1) * 2, head[at + 5] >> 3
    rate, code = head[at + 4] >> 6, head[at + 4] & 0x3F
    if rate == 3 or code >> 1 >= len(_AC3_KBIT):  # noqa: PLR2004 - reserved
        return None
    kbit = _AC3_KBIT[code >> 1]
    words = {0: kbit * 2, 1: kbit * 96_000 // 44_100 + (code & 1), 2: kbit * 3}[rate]
    return words * 2, head[at + 5] >> 3


_AC3_KBIT = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 576, 640)


def _loas_length(head: bytes, at: int) -> tuple[int, object] | None:
    header = int.from_bytes(head[at : at + 3])
    return ((header & 0x1FFF) + 3, None) if header >> 13 == 0x2B7 and len(head) >= at + 3 else None  # noqa: PLR2004 - sync
