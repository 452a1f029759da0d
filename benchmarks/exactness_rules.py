"""Where the native decoders part from Pillow on purpose: rules with reasons, never file names."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

READ_FORMATS = {"JPEG", "MPO", "PNG", "WEBP"}
MOST_SCANS = 100
_LIMITS = {"file_too_large", "too_many_pixels", "side_too_large"}


@dataclass(frozen=True)
class Difference:
    """A file on which the sides disagree; `status` is ours ("ok" if decoded), `pillow_format` Pillow's."""

    outcome: str
    status: str
    pillow_format: str
    data: bytes


@dataclass(frozen=True)
class Rule:
    """A difference that is meant: `applies` recognises it."""

    name: str
    reason: str
    applies: Callable[[Difference], bool]


def _segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(marker, payload) of a JPEG file; damaged parts are passed over."""
    at = 2
    while (at := data.find(b"\xff", at)) >= 0 and at + 4 <= len(data):
        marker = data[at + 1]
        if not 0xC0 <= marker <= 0xFE or 0xD0 <= marker <= 0xD9:
            at += 1 if marker == 0xFF else 2
            continue
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        yield marker, data[at + 4 : at + 2 + length]
        at += 2 + max(length, 2)


def _scans(data: bytes) -> list[tuple[bytes, int, int, int]]:
    """(component ids, first coefficient, last coefficient, lowest bit) of every scan."""
    scans = []
    for marker, payload in _segments(data):
        if marker == 0xDA and payload and len(payload) >= 4 + 2 * payload[0]:
            ids = payload[1 : 1 + 2 * payload[0] : 2]
            first, last, bits = payload[1 + 2 * payload[0] :][:3]
            scans.append((ids, first, last, bits & 15))
    return scans


def _frame_marker(data: bytes) -> int:
    frames = (m for m, _ in _segments(data) if m in {0xC0, 0xC1, 0xC2, 0xC3, 0xC9, 0xCA})
    return next(frames, 0)


def is_incomplete_progressive(data: bytes) -> bool:
    """Whether some coefficient of some component never arrives with its lowest bit."""
    components = [p[6::3] for m, p in _segments(data) if m in {0xC2, 0xCA}]
    if not components:
        return False
    lowest = {(c, k): 1 for c in components[0] for k in range(64)}
    for ids, first, last, bit in _scans(data):
        lowest.update({(c, k): bit for c in ids for k in range(first, min(last, 63) + 1)})
    return any(lowest.values())


RULES = (
    Rule(
        "format",
        "only JPEG, PNG and WebP are read; other formats are rejected with unsupported_format",
        lambda d: d.status == "unsupported_format" and d.pillow_format not in READ_FORMATS,
    ),
    Rule(
        "limits",
        "more pixels, a longer side or more bytes than the limits allow; Pillow's own limit is higher",
        lambda d: d.status in _LIMITS,
    ),
    Rule(
        "lossless_jpeg",
        "JPEG lossless (SOF3) is not read by the system's libjpeg-turbo 2.1; Pillow brings 3.1",
        lambda d: d.status == "unsupported_variant" and _frame_marker(d.data) == 0xC3,
    ),
    Rule(
        "many_scans",
        f"a JPEG of more than {MOST_SCANS} scans is refused, as it is made to burn time",
        lambda d: d.status == "corrupt" and len(_scans(d.data)) > MOST_SCANS,
    ),
    Rule(
        "incomplete_progressive",
        "a progressive JPEG without its last scans is smoothed by libjpeg; 3.1 smooths otherwise than 2.1",
        lambda d: d.outcome == "differ" and is_incomplete_progressive(d.data),
    ),
)


def find_rule(difference: Difference) -> Rule | None:
    """The first rule that covers the difference."""
    return next((rule for rule in RULES if rule.applies(difference)), None)
