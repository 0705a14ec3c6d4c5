"""Recordings made from data: a container and codec by PyAV, then what happened to the file, byte by byte.

A recipe is a JSON object:
- `container` and `codec` as FFmpeg names them, `seconds`, `rate` in Hz (16,000), `channels` (1), `muxer` options, and `sound`:
  `speech` (the tone words of tone_speech), `silence` or `noise`;
- or `bytes`: the name of a function in BYTES, with its arguments in `with`;
- `then`: a list of [change, argument, ...], each a function in CHANGES.
"""

from __future__ import annotations

import io
import struct
import tempfile
import zlib
from array import array
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
from tone_speech import SAMPLE_RATE, samples, script

__all__ = ["make"]

BLOCK_S = 60.0
LAYOUTS = {1: "mono", 2: "stereo", 6: "5.1"}


def make(recipe: Mapping[str, Any]) -> bytes:
    """The bytes of the recording that a recipe describes."""
    content = BYTES[recipe["bytes"]](**recipe.get("with", {})) if "bytes" in recipe else _encoded(**_plain(recipe))
    for change, *arguments in recipe.get("then", ()):
        content = CHANGES[change](content, *arguments)
    return content


def _plain(recipe: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in recipe.items() if name != "then"}


def _encoded(
    *,
    container: str,
    codec: str,
    seconds: float,
    rate: int = SAMPLE_RATE,
    channels: int = 1,
    sound: str = "speech",
    muxer: Mapping[str, str] | None = None,
    bit_rate: int | None = None,
    video: bool = False,
    seekable: bool = True,
) -> bytes:
    # moving the index to the front takes a file that can be opened once more
    named = tempfile.NamedTemporaryFile() if "faststart" in (muxer or {}).get("movflags", "") else None  # noqa: SIM115
    target: Any = named.name if named is not None else io.BytesIO() if seekable else _Pipe()
    with av.open(target, "w", format=container, options=dict(muxer or {})) as output:
        picture = output.add_stream("mpeg4", rate=1) if video else None
        if picture is not None:
            picture.width, picture.height, picture.pix_fmt = 64, 64, "yuv420p"
        stream = output.add_stream(codec, rate=rate, layout=LAYOUTS[channels])
        if bit_rate is not None:
            stream.bit_rate = bit_rate
        context = stream.codec_context
        context.open()
        resampler = av.AudioResampler(
            format=context.format, layout=LAYOUTS[channels], rate=rate, frame_size=context.frame_size or 0
        )
        at = 0
        for block in _sound(sound, seconds):
            frame = av.AudioFrame.from_ndarray(block.reshape(1, -1), format="s16", layout="mono")
            frame.sample_rate, frame.pts = SAMPLE_RATE, at
            at += len(block)
            for piece in resampler.resample(frame):
                output.mux(stream.encode(piece))
        for piece in (*resampler.resample(None), None):
            output.mux(stream.encode(piece))
        if picture is not None:
            for number in range(max(int(seconds), 1)):
                image = av.VideoFrame.from_ndarray(np.zeros((96, 64), np.uint8), format="yuv420p")
                image.pts = number
                output.mux(picture.encode(image))
            output.mux(picture.encode(None))
    if named is not None:
        with named:
            return Path(named.name).read_bytes()
    return bytes(target.getvalue())


class _Pipe(io.RawIOBase):
    """Where a muxer cannot go back: what a browser or a pipe gives."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False

    def write(self, data: Any) -> int:
        self._pieces.append(bytes(data))
        return len(data)

    def getvalue(self) -> bytes:
        return b"".join(self._pieces)


def _sound(sound: str, seconds: float) -> Any:
    if sound == "speech":
        yield from samples(script(seconds), seconds, block_s=BLOCK_S)
        return
    drawn = np.random.default_rng(3)
    left = int(seconds * SAMPLE_RATE)
    while left > 0:
        count = min(left, int(BLOCK_S * SAMPLE_RATE))
        left -= count
        quiet = np.zeros(count, np.int16)
        yield quiet if sound == "silence" else drawn.normal(0.0, 3_000.0, count).clip(-32_768, 32_767).astype(np.int16)


# What no encoder makes.


def wav_header(
    *,
    rate: int,
    channels: int = 1,
    bits: int = 16,
    block_align: int | None = None,
    size: int = 4_000,
    stated: int | None = None,
) -> bytes:
    """A PCM WAV file of so many bytes of sound, whose header says what it is told to."""
    align = channels * bits // 8 if block_align is None else block_align
    fmt = struct.pack("<HHIIHH", 1, channels, rate, min(rate * align, 0xFFFF_FFFF), align & 0xFFFF, bits)
    data = size if stated is None else stated
    body = b"WAVEfmt " + struct.pack("<I", 16) + fmt + b"data" + struct.pack("<I", data)
    return b"RIFF" + struct.pack("<I", 0xFFFF_FFFF if data == 0xFFFF_FFFF else len(body) + size) + body + bytes(size)


def m4a_index(*, box: str, count: int, stated_s: float = 7_200.0) -> bytes:
    """A small M4A one of whose sample tables claims so many samples, and that says it lasts so long."""
    content = bytearray(_encoded(container="ipod", codec="aac", seconds=1.0))
    movie = content.index(b"mvhd") + 4
    content[movie + 16 : movie + 20] = int(stated_s * int.from_bytes(content[movie + 12 : movie + 16])).to_bytes(4)
    at = content.index(box.encode()) + 8
    match box:
        case "stsz":
            content[at : at + 8] = struct.pack(">II", 8, count)
            chunk = content.index(b"stsc") + 12
            content[chunk + 4 : chunk + 8] = struct.pack(">I", count)
        case "stts" | "stsc":
            content[at + 8 : at + 12] = struct.pack(">I", count)
        case _:
            content[at : at + 4] = struct.pack(">I", count)
    return bytes(content)


def element(identity: int, body: bytes, *, size: int | None = None) -> bytes:
    """One EBML element with a size of eight bytes; `size` is what it says of itself."""
    stated = len(body) if size is None else size
    name = identity.to_bytes((identity.bit_length() + 7) // 8)
    return name + (stated | 1 << 56).to_bytes(8) + body


def ebml(doctype: bytes) -> bytes:
    """The head of a Matroska file."""
    return element(0x1A45_DFA3, element(0x4282, doctype) + element(0x4287, b"\x04") + element(0x4285, b"\x02"))


def webm_empty_elements(*, count: int) -> bytes:
    """A WebM of empty Void elements, two bytes each."""
    return ebml(b"webm") + b"\x18\x53\x80\x67\x01\xff\xff\xff\xff\xff\xff\xff" + b"\xec\x80" * count


def mp4_empty_boxes(*, count: int) -> bytes:
    """An MP4 of empty boxes, eight bytes each."""
    return b"\x00\x00\x00\x14ftypisom\x00\x00\x02\x00isom" + b"\x00\x00\x00\x08free" * count


def mkv_zlib(*, seconds: float) -> bytes:
    """A Matroska file of PCM silence whose blocks are compressed by zlib, a thousand to one."""
    entry = element(0xD7, b"\x01") + element(0x73C5, b"\x01") + element(0x83, b"\x02") + element(0x86, b"A_PCM/INT/LIT")
    audio = element(0xE1, element(0xB5, struct.pack(">d", 16_000.0)) + element(0x9F, b"\x01") + element(0x6264, b"\x10"))
    packed = element(0x6D80, element(0x6240, element(0x5034, element(0x4254, b"\x00"))))
    tracks = element(0x1654_AE6B, element(0xAE, entry + audio + packed))
    info = element(0x1549_A966, element(0x2AD7B1, (1_000_000).to_bytes(3)))
    block = element(0xA3, b"\x81\x00\x00\x80" + zlib.compress(bytes(int(seconds * 32_000)), 9))
    cluster = element(0x1F43_B675, element(0xE7, b"\x00") + block)
    return ebml(b"matroska") + element(0x1853_8067, info + tracks + cluster)


def webm_live(*, seconds: float, repeat: int = 1, cluster_s: float = 5.0, bit_rate: int = 24_000) -> bytes:
    """What a browser's MediaRecorder writes: Opus in clusters, sizes and length unknown. The sound may be repeated."""
    packets = _opus_packets(seconds, bit_rate)
    head = b"OpusHead" + struct.pack("<BBHIhB", 1, 1, 312, 48_000, 0, 0)
    audio = element(0xE1, element(0xB5, struct.pack(">d", 48_000.0)) + element(0x9F, b"\x01"))
    entry = element(0xD7, b"\x01") + element(0x73C5, b"\x01") + element(0x83, b"\x02") + element(0x86, b"A_OPUS")
    tracks = element(0x1654_AE6B, element(0xAE, entry + element(0x63A2, head) + audio))
    info = element(0x1549_A966, element(0x2AD7B1, (1_000_000).to_bytes(3)) + element(0x4D80, b"Chrome"))
    unknown = b"\x01\xff\xff\xff\xff\xff\xff\xff"
    pieces = [ebml(b"webm"), b"\x18\x53\x80\x67" + unknown, info, tracks]
    in_cluster = int(cluster_s / 0.02)
    total = len(packets) * repeat
    for begin in range(0, total, in_cluster):
        pieces.append(b"\x1f\x43\xb6\x75" + unknown + element(0xE7, (begin * 20).to_bytes(6)))
        for number in range(begin, min(begin + in_cluster, total)):
            offset = struct.pack(">h", (number - begin) * 20)
            pieces.append(element(0xA3, b"\x81" + offset + b"\x80" + packets[number % len(packets)]))
    return b"".join(pieces)


def _opus_packets(seconds: float, bit_rate: int) -> list[bytes]:
    content = _encoded(container="ogg", codec="libopus", seconds=seconds, rate=48_000, bit_rate=bit_rate)
    with av.open(io.BytesIO(content), format="ogg") as container:
        return [bytes(packet) for packet in container.demux(audio=0) if packet.size]


def mkv_block_size(*, size: int) -> bytes:
    """A Matroska file whose only block claims to be so many bytes."""
    content = mkv_zlib(seconds=1.0)
    at = content.index(b"\x1f\x43\xb6\x75")
    block = element(0xA3, b"\x81\x00\x00\x80" + bytes(4_000), size=size)
    return content[:at] + element(0x1F43_B675, element(0xE7, b"\x00") + block, size=size + 100)


def mkv_cues(*, count: int) -> bytes:
    """A Matroska file with an index of so many points."""
    content = mkv_zlib(seconds=1.0)
    point = element(0xBB, element(0xB3, b"\x01") + element(0xB7, element(0xF7, b"\x01") + element(0xF1, b"\x01")))
    return content + element(0x1C53_BB6B, point * count)


def ogg_comment(*, size: int) -> bytes:
    """An Ogg Opus file whose comment header is so many bytes long, over many pages."""
    head = b"OpusHead" + struct.pack("<BBHIhB", 1, 1, 312, 48_000, 0, 0)
    comment = b"OpusTags" + struct.pack("<I", 4) + b"test" + struct.pack("<II", 1, size) + b"A=" + bytes(size - 2)
    packet = b"\xfc\xff\xfe"
    pages = [_ogg_page(head, 0, flags=2, granule=0)]
    number = 1
    for at in range(0, len(comment), 255 * 255):
        piece = comment[at : at + 255 * 255]
        pages.append(_ogg_page(piece, number, flags=1 if at else 0, granule=0, ends=at + 255 * 255 >= len(comment)))
        number += 1
    pages.append(_ogg_page(packet * 1, number, flags=4, granule=48_000))
    return b"".join(pages)


def _ogg_page(body: bytes, number: int, *, flags: int, granule: int, ends: bool = True) -> bytes:
    lacing = bytes([255] * (len(body) // 255)) + (bytes([len(body) % 255]) if ends else b"")
    page = b"OggS" + struct.pack("<BBqIII", 0, flags, granule, 7, number, 0) + bytes([len(lacing)]) + lacing + body
    return page[:22] + struct.pack("<I", _ogg_crc(page)) + page[26:]


def _ogg_table() -> list[int]:
    table = []
    for byte in range(256):
        value = byte << 24
        for _ in range(8):
            value = (value << 1 ^ 0x04C1_1DB7) if value & 0x8000_0000 else value << 1
        table.append(value & 0xFFFF_FFFF)
    return table


_OGG_TABLE = _ogg_table()


def _ogg_crc(page: bytes) -> int:
    value = 0
    for byte in page:
        value = value << 8 & 0xFFFF_FFFF ^ _OGG_TABLE[value >> 24 ^ byte]
    return value


def flac_rate(*, rate: int, seconds_of_16k: float) -> bytes:
    """A FLAC file whose head and frames state another rate than it was made with."""
    content = bytearray(_encoded(container="flac", codec="flac", seconds=seconds_of_16k, sound="silence"))
    fields = int.from_bytes(content[18:26])
    content[18:26] = (fields & ((1 << 44) - 1) | rate << 44).to_bytes(8)
    return bytes(content)


def flac_silence(*, seconds: float, rate: int = 16_000, block: int = 32_768) -> bytes:
    """Silence as FLAC, a dozen bytes for two seconds."""
    total = int(seconds * rate)
    info = struct.pack(">HH", block, block) + bytes(6) + (rate << 44 | 15 << 36 | total).to_bytes(8) + bytes(16)
    frames = [b"fLaC\x80\x00\x00\x22" + info]
    for number, at in enumerate(range(0, total, block)):
        head = b"\xff\xf8\x70\x08" + _utf8(number) + struct.pack(">H", min(block, total - at) - 1)
        body = head + bytes([_crc(head, 8, 0x07)]) + b"\x00\x00\x00"
        frames.append(body + _crc(body, 16, 0x8005).to_bytes(2))
    return b"".join(frames)


def _utf8(number: int) -> bytes:
    return chr(number).encode("utf-8", "surrogatepass")


def _crc(data: bytes, bits: int, polynomial: int) -> int:
    value, top, mask = 0, 1 << bits - 1, (1 << bits) - 1
    for byte in data:
        value ^= byte << bits - 8
        for _ in range(8):
            value = (value << 1 ^ polynomial) & mask if value & top else value << 1 & mask
    return value


def id3_tag(*, size: int) -> bytes:
    """An MP3 behind a tag of so many bytes of cover art."""
    return id3(size=size) + _encoded(container="mp3", codec="libmp3lame", seconds=3.0)


def aiff_rate(*, rate: int, size: int) -> bytes:
    """An AIFF file of 8-bit silence at so many samples a second."""
    mantissa = rate << 64 - rate.bit_length()
    extended = struct.pack(">HQ", 16_383 + rate.bit_length() - 1, mantissa)
    common = b"COMM" + struct.pack(">IHIH", 18, 1, size, 8) + extended
    sound = b"SSND" + struct.pack(">III", size + 8, 0, 0) + bytes(size)
    return b"FORM" + struct.pack(">I", 4 + len(common) + len(sound)) + b"AIFF" + common + sound


def caf_rate(*, rate: float, size: int) -> bytes:
    """A CAF file of 16-bit silence at so many samples a second."""
    desc = b"desc" + struct.pack(">qd", 32, rate) + b"lpcm" + struct.pack(">IIIII", 0, 2, 1, 1, 16)
    return b"caff\x00\x01\x00\x00" + desc + b"data" + struct.pack(">qI", size + 4, 0) + bytes(size)


def id3(*, size: int) -> bytes:
    """An ID3 tag of so many bytes of cover art."""
    body = b"APIC" + _synchsafe(size - 10) + b"\x00\x00" + b"\x00image/png\x00\x03\x00" + bytes(size - 24)
    return b"ID3\x04\x00\x00" + _synchsafe(len(body)) + body


def _synchsafe(number: int) -> bytes:
    return bytes(number >> shift & 0x7F for shift in (21, 14, 7, 0))


def amr_silence(*, seconds: float, wide: bool = False) -> bytes:
    """An AMR file of frames without speech data."""
    return (b"#!AMR-WB\n" if wide else b"#!AMR\n") + b"\x7c" * int(seconds * 50)


def literal(*, text: str = "", hexed: str = "", repeat: int = 1) -> bytes:
    """These bytes, so many times."""
    return (text.encode() + bytes.fromhex(hexed)) * repeat


BYTES: Mapping[str, Callable[..., bytes]] = {
    "wav_header": wav_header,
    "m4a_index": m4a_index,
    "webm_empty_elements": webm_empty_elements,
    "mp4_empty_boxes": mp4_empty_boxes,
    "mkv_zlib": mkv_zlib,
    "webm_live": webm_live,
    "mkv_block_size": mkv_block_size,
    "mkv_cues": mkv_cues,
    "ogg_comment": ogg_comment,
    "flac_rate": flac_rate,
    "flac_silence": flac_silence,
    "id3_tag": id3_tag,
    "aiff_rate": aiff_rate,
    "caf_rate": caf_rate,
    "amr_silence": amr_silence,
    "literal": literal,
}


# What happens to files.


def _keep(content: bytes, share: float) -> bytes:
    """Cut off, as by a broken download."""
    return content[: int(len(content) * share)]


def _drop(content: bytes, count: int) -> bytes:
    """Begin later, as a stream that is joined."""
    return content[count:]


def _zeros(content: bytes, count: int) -> bytes:
    """Begin with zeros."""
    return bytes(count) + content


def _behind(content: bytes, head: str) -> bytes:
    """Begin with other bytes, in hex."""
    return bytes.fromhex(head) + content


def _followed(content: bytes, text: str) -> bytes:
    """With text behind its end."""
    return content + text.encode()


def _tagged(content: bytes, size: int = 2_000) -> bytes:
    """Begin with an ID3 tag."""
    return id3(size=size) + content


def _chained(content: bytes, recipe: Mapping[str, Any]) -> bytes:
    """Followed by another recording."""
    return content + make(recipe)


def _replaced(content: bytes, old: str, new: str) -> bytes:
    """The first of some bytes by others; both in hex."""
    before, after = bytes.fromhex(old), bytes.fromhex(new)
    assert before in content
    return content.replace(before, after, 1)


def _silent_tracks(content: bytes) -> bytes:
    """A Matroska file whose sound tracks are said to be something else."""
    return content.replace(b"\x83\x81\x02", b"\x83\x81\x11")


def _rf64(content: bytes) -> bytes:
    """A WAV file in the form for more than 4 GB."""
    data = content.index(b"data")
    size = len(content) - data - 8
    ds64 = b"ds64" + struct.pack("<IQQQI", 28, len(content) + 28, size, 0, 0)
    return b"RF64\xff\xff\xff\xffWAVE" + ds64 + content[12:data] + b"data\xff\xff\xff\xff" + content[data + 8 :]


def _rifx(content: bytes) -> bytes:
    """A 16-bit WAV file with all numbers the other way round, which FFmpeg plays as noise."""
    at = content.find(b"data") + 8
    form = struct.unpack("<IHHIIHH", content[16:36])
    sound = array("h", content[at : at + (len(content) - at) // 2 * 2])
    sound.byteswap()
    head = b"WAVEfmt " + struct.pack(">IHHIIHH", *form) + b"data" + struct.pack(">I", len(sound) * 2)
    return b"RIFX" + struct.pack(">I", len(head) + len(sound) * 2) + head + sound.tobytes()


def _bad_wave_size(content: bytes, stated: int) -> bytes:
    """A WAV file that says another size of its sound."""
    data = content.index(b"data")
    return content[: data + 4] + struct.pack("<I", stated) + content[data + 8 :]


def _doctype(content: bytes, name: str) -> bytes:
    """A WebM whose document type is written another way; in hex, with its size."""
    at = content.index(b"\x42\x82\x84webm")
    value = bytes.fromhex(name)
    head = content[:at] + b"\x42\x82" + value + content[at + 7 :]
    size_at = 4
    length = 9 - head[size_at].bit_length()
    size = int.from_bytes(head[size_at : size_at + length]) & ((1 << 7 * length) - 1)
    grown = size + len(value) - 5
    return head[:size_at] + (grown | 1 << 7 * length).to_bytes(length) + head[size_at + length :]


CHANGES: Mapping[str, Callable[..., bytes]] = {
    "keep": _keep,
    "followed": _followed,
    "drop": _drop,
    "zeros": _zeros,
    "behind": _behind,
    "tagged": _tagged,
    "chained": _chained,
    "replaced": _replaced,
    "silent_tracks": _silent_tracks,
    "rf64": _rf64,
    "rifx": _rifx,
    "bad_wave_size": _bad_wave_size,
    "doctype": _doctype,
}

# keeps the type of a recipe in one place
Recipes = Sequence[Mapping[str, Any]]
