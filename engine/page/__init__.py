"""One HTML page that shows samples with all their captions: `python -m engine.inspect DIR --html FILE`."""

from engine.page.model import PageCaption, PageSample
from engine.page.write import page_text, write_page

__all__ = ["PageCaption", "PageSample", "page_text", "write_page"]
