"""What kind of audio some bytes are, told by their content and never by a file's name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from groq_fallback_mcp.audio.file_bytes import Content
from groq_fallback_mcp.audio.frames import (
    ac3_length,
    adts_length,
    amr_row,
    id3_length,
    loas_length,
    mpeg_frame,
    mpeg_length,
    row,
)
from groq_fallback_mcp.audio.not_audio import is_foreign

__all__ = ["AGREEING_FRAMES", "HEAD_BYTES", "AudioKind", "Convertible", "recognize", "sniff"]

HEAD_BYTES = 65_536
# Joined streams and players of chapters write several; each must be looked past.
MOST_TAGS = 8
MOST_ZEROS = 4 * 1024 * 1024
# A stream that is joined in the middle begins with the rest of a frame; the longest has 1,441 bytes (MP3) or 8,191 (AAC).
LONGEST_REST = 8_192
# Sync words occur by chance, frames that agree with each other and follow one another do not. Where the first one is looked
# for, there are as many chances as bytes.
AGREEING_FRAMES = 3
AGREEING_FRAMES_BEHIND_OTHER_BYTES = 8


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
    NUT = "nut"
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
    """What a file is by how it begins, None when it is no audio that can be sent or converted. It looks past tags and zeros.

    What it is to its last byte, `extent` says.
    """
    if content.startswith(_AMR):
        return Recognized(Convertible.AMR) if amr_row(content) else None
    at = _past_tags(content, 0)
    if is_foreign(content) or (at and is_foreign(content, at)):
        return None
    kind = _by_magic(content[at : at + HEAD_BYTES])
    if kind is not None:
        return Recognized(kind, at)
    zeros = _zeros(content, at)
    begin = _past_tags(content, at + zeros)
    if is_foreign(content, begin):
        return None
    found = _framed(content, begin)
    if found is None:
        return None
    kind, skipped = found
    # tags go with the sound unless they are most of the file
    clean = zeros == 0 and skipped == 0 and begin * 2 <= len(content)
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
_AMR = b"#!AMR"
_MAGIC: Mapping[bytes, AudioKind | Convertible] = {
    b"fLaC": AudioKind.FLAC,
    b"\x00\x00\x01\xba": AudioKind.MPEG,
    b"caff\x00": Convertible.CAF,
    b"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9\x00\xaa\x00\x62\xce\x6c": Convertible.WMA,
    b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\x00\x00": Convertible.W64,
    b".snd": Convertible.AU,
    b"dns.": Convertible.AU,
    b"nut/multimedia container\x00": Convertible.NUT,
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
    return Convertible.OGV if len(head) > 64 and b"fishead\0" in head[:64] else None


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
    if size > 64:
        return None
    name = head[body : body + size].rstrip(b"\0 ")
    return AudioKind.WEBM if name == b"webm" else Convertible.MKV if name == b"matroska" else None


def _is_transport_stream(head: bytes) -> bool:
    """A sync byte at the same place of five packets, which have 188 bytes, or 192 or 204 with what recorders add."""
    return any(
        len(head) >= begin + 4 * size + 1 and all(head[begin + n * size] == 0x47 for n in range(5))
        for begin, size in ((0, 188), (4, 192), (0, 204))
    )


def _framed(content: Content, begin: int) -> tuple[AudioKind | Convertible, int] | None:
    """The kind of what is a row of frames without a container, and how far behind `begin` the first one is."""
    head = content[begin : begin + LONGEST_REST]
    at = head.find(b"\xff")
    while at >= 0:
        kind = _frames_at(content, begin + at, AGREEING_FRAMES if begin + at == 0 else AGREEING_FRAMES_BEHIND_OTHER_BYTES)
        if kind is not None:
            return kind, at
        at = head.find(b"\xff", at + 1)
    if row(content, begin, ac3_length, AGREEING_FRAMES):
        version = content[begin + 5] >> 3
        return (Convertible.EAC3 if version > 10 else Convertible.AC3), 0
    return (Convertible.LATM, 0) if row(content, begin, loas_length, AGREEING_FRAMES) else None


def _frames_at(content: Content, at: int, count: int) -> AudioKind | Convertible | None:
    """The kind of the row of so many frames that begins here, None without one."""
    if row(content, at, adts_length, count):
        return Convertible.AAC
    if not row(content, at, mpeg_length, count):
        return None
    frame = mpeg_frame(content, at)
    return AudioKind.MP3 if frame is not None and frame.layer == 3 else AudioKind.MPGA
