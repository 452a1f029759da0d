"""Why a row has no caption of the kind asked for, beyond what a check of the text can say."""

from __future__ import annotations

from engine.captions.status import CAPTION_STATUS

REQUEST_STATUS = {
    "no_vec": "there is no VeC for this sample to make VeCap from",
    "alttext_orders": "the AltText gives orders to a model; it was left out of the prompt",
    "no_alttext": "the sample has no AltText: nothing to rewrite, or to fuse with VeC",
    "prompt_too_long": "the prompt does not fit the model, even with as little AltText as can be",
    "request_refused": "the server refused the request (HTTP 4xx)",
    "request_failed": "the server failed on the request every time (HTTP 5xx)",
    "request_timeout": "no answer in time, every time",
    "engine_died": "the engine died while it had this request alone; set aside",
}
"""Code -> meaning; beside `engine.captions.status.CAPTION_STATUS`."""


def status_meaning(code: str) -> str:
    """What a status code of a ledger means."""
    if code in REQUEST_STATUS:
        return REQUEST_STATUS[code]
    return CAPTION_STATUS[code].meaning
