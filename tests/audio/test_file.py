"""Files are read below the allowed folders and nowhere else (faults 38 to 40)."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from reading import read_audio

from groq_fallback_mcp import files
from groq_fallback_mcp.audio.samples import sample_path
from groq_fallback_mcp.errors import InputRefused
from groq_fallback_mcp.render import path_excerpt

LIMIT = 1_000_000
needs_links = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs POSIX links and FIFOs")


@pytest.fixture
def allowed(tmp_path: Path) -> Path:
    """A folder that may be read, holding speech.flac and sub/speech.flac."""
    folder = tmp_path / "open"
    (folder / "sub").mkdir(parents=True)
    for target in (folder / "speech.flac", folder / "sub" / "speech.flac"):
        target.write_bytes(sample_path().read_bytes())
    return folder


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A recording that may not be read: beside the open folder, whose name it begins with."""
    folder = tmp_path / "open-not"
    folder.mkdir()
    target = folder / "secret.flac"
    target.write_bytes(sample_path().read_bytes())
    return target


def refusal(path: str, allowed: Path) -> str:
    """The message of the refusal, with the path the caller gave taken out."""
    with pytest.raises(InputRefused) as caught:
        read_audio(path, allowed=[allowed], max_bytes=LIMIT)
    assert path in str(caught.value) or path_excerpt(path) in str(caught.value)
    return str(caught.value).replace(path_excerpt(path), "PATH")


def test_a_recording_is_read_with_its_kind_and_length(allowed: Path) -> None:
    """By absolute path."""
    audio = read_audio(str(allowed / "speech.flac"), allowed=[allowed], max_bytes=LIMIT)

    assert audio.content == sample_path().read_bytes()
    assert (audio.name, audio.media_type) == ("speech.flac", "audio/flac")
    assert audio.duration_s == pytest.approx(4.925)


def test_a_relative_path_starts_at_the_first_folder_or_at_the_one_given(allowed: Path, tmp_path: Path) -> None:
    """`cwd` overrides the first allowed folder as the start, not as the permission."""
    by_default = read_audio("sub/speech.flac", allowed=[allowed], max_bytes=LIMIT)
    by_cwd = read_audio("open/speech.flac", allowed=[allowed], max_bytes=LIMIT, cwd=tmp_path)

    assert by_default.content == by_cwd.content == sample_path().read_bytes()


def test_the_home_folder_is_expanded(allowed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A path that begins with ~ means the same as in a shell."""
    monkeypatch.setenv("HOME", str(allowed))
    monkeypatch.setenv("USERPROFILE", str(allowed))

    assert read_audio("~/speech.flac", allowed=[allowed], max_bytes=LIMIT).name == "speech.flac"


def test_the_name_gets_the_extension_of_the_content(allowed: Path) -> None:
    """Providers judge by the name, and names lie."""
    (allowed / "voice.opus").write_bytes(sample_path().read_bytes())

    assert read_audio("voice.opus", allowed=[allowed], max_bytes=LIMIT).name == "voice.flac"


@needs_links
def test_every_forbidden_path_gets_the_same_answer(allowed: Path, secret: Path) -> None:
    """Outside, link, device, FIFO, folder: nothing tells which, so nothing can be probed."""
    (allowed / "link.flac").symlink_to(secret)
    (allowed / "dangling.flac").symlink_to(secret.with_name("none.flac"))
    (allowed / "way-out").symlink_to(secret.parent)
    os.mkfifo(allowed / "fifo.wav")
    # back in from outside: that it is missing would tell of the link there
    (secret.parent / "back.flac").symlink_to(allowed / "none.flac")
    missing = refusal(str(secret), allowed)
    assert "not a readable file" in missing

    for path in (
        str(secret),
        str(secret.with_name("none.flac")),
        "../open-not/secret.flac",
        "sub/../../open-not/secret.flac",
        "link.flac",
        "dangling.flac",
        "way-out/secret.flac",
        "way-out/none.flac",
        "way-out/back.flac",
        str(secret.parent / "back.flac"),
        "../open/none.flac",
        str(allowed / "../open/none.flac"),
        "fifo.wav",
        "sub",
        ".",
        "speech.flac/more",
        "/dev/zero",
        "/proc/self/environ",
        "/etc/hostname",
        "~root/x.wav",
        "file:///etc/hostname",
        "a\0b.wav",
        "x" * 5_000,
        "\ud800.wav",
        "",
    ):
        assert refusal(path, allowed) == missing, path


@pytest.mark.parametrize("path", ["none.flac", "sub/none.flac", "none/none.flac", "./none.flac", "{allowed}/none.flac"])
def test_a_file_that_is_missing_in_an_open_folder_is_said_to_be_missing(path: str, allowed: Path) -> None:
    """Another folder, or a copy, would not help."""
    assert refusal(path.format(allowed=allowed), allowed) == "PATH does not exist. Check the path."


@needs_links
def test_a_link_that_stays_inside_is_followed(allowed: Path) -> None:
    """Only leaving is forbidden."""
    (allowed / "link.flac").symlink_to(allowed / "sub" / "speech.flac")

    assert read_audio("link.flac", allowed=[allowed], max_bytes=LIMIT).content == sample_path().read_bytes()


@needs_links
@pytest.mark.parametrize("swapped", ["speech.flac", "sub"])
def test_a_link_put_in_place_after_the_check_is_not_followed(
    swapped: str, allowed: Path, secret: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The swap falls exactly between resolving the path and opening it (fault 39)."""
    secret.with_name("speech.flac").write_bytes(secret.read_bytes())
    path = "speech.flac" if swapped == "speech.flac" else "sub/speech.flac"
    real_open_below: Callable[[Path, tuple[str, ...]], int] = files._open_below

    def swap_then_open(root: Path, steps: tuple[str, ...]) -> int:
        (allowed / swapped).rename(allowed / "moved")
        (allowed / swapped).symlink_to(secret if swapped == "speech.flac" else secret.parent)
        return real_open_below(root, steps)

    monkeypatch.setattr(files, "_open_below", swap_then_open)

    assert "not a readable file" in refusal(path, allowed)


@needs_links
def test_a_link_swapped_in_a_hurry_never_leaks(allowed: Path, secret: Path) -> None:
    """A second thread swaps file and link as fast as it can while the path is read 300 times."""
    secret.write_bytes(sample_path().read_bytes() + b"SECRET")
    plain, other, link = allowed / "race.flac", allowed / "plain.flac", allowed / "link.flac"
    done = threading.Event()

    def swap() -> None:
        while not done.is_set():
            other.write_bytes(sample_path().read_bytes())
            other.replace(plain)
            link.symlink_to(secret)
            link.replace(plain)

    other.write_bytes(sample_path().read_bytes())
    other.replace(plain)
    swapper = threading.Thread(target=swap)
    swapper.start()
    leaked = 0
    try:
        for _ in range(300):
            try:
                leaked += read_audio("race.flac", allowed=[allowed], max_bytes=LIMIT).content.endswith(b"SECRET")
            except InputRefused:
                continue
    finally:
        done.set()
        swapper.join()

    assert leaked == 0


def test_no_descriptor_is_left_open(allowed: Path) -> None:
    """Neither by a success nor by a refusal."""
    (allowed / "text.wav").write_text("KEY=made-up")
    fds = Path("/proc/self/fd")
    if not fds.is_dir():
        pytest.skip("this system does not list open descriptors")
    before = len(list(fds.iterdir()))

    for _ in range(5):
        read_audio("speech.flac", allowed=[allowed], max_bytes=LIMIT)
        for path in ("text.wav", "sub", "none"):
            with pytest.raises(InputRefused):
                read_audio(path, allowed=[allowed], max_bytes=LIMIT)

    assert len(list(fds.iterdir())) == before


def test_secrets_named_like_audio_are_refused(allowed: Path) -> None:
    """A renamed .env is not audio by its content (fault 40), and the refusal repeats none of it."""
    (allowed / "voice.wav").write_text("GROQ_API_KEY=made-up-secret\n")

    message = refusal("voice.wav", allowed)

    assert "is not a supported audio file" in message
    assert "made-up-secret" not in message


def test_an_empty_file_is_refused(allowed: Path) -> None:
    """It says so, rather than that it is no audio."""
    (allowed / "empty.wav").touch()

    assert "is empty" in refusal("empty.wav", allowed)


def test_a_file_above_the_limit_is_refused_with_both_figures(allowed: Path) -> None:
    """A sparse terabyte is refused by its stated size, without being read."""
    with (allowed / "huge.flac").open("wb") as huge:
        huge.write(sample_path().read_bytes()[:64])
        huge.truncate(1 << 40)

    assert "1,099,511,627,776 bytes, the limit is 1,000,000" in refusal("huge.flac", allowed)


def test_the_limit_itself_is_still_allowed(allowed: Path) -> None:
    """One byte less is not."""
    size = sample_path().stat().st_size

    assert len(read_audio("speech.flac", allowed=[allowed], max_bytes=size).content) == size
    with pytest.raises(InputRefused, match="the limit is"):
        read_audio("speech.flac", allowed=[allowed], max_bytes=size - 1)


def test_without_an_allowed_folder_nothing_is_read(allowed: Path) -> None:
    """The refusal names the setting that opens one."""
    with pytest.raises(InputRefused, match="GROQ_FALLBACK_FILES"):
        read_audio(str(allowed / "speech.flac"), allowed=[], max_bytes=LIMIT)
