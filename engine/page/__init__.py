"""One HTML page that shows samples with all their captions: `python -m engine.inspect DIR --html FILE`."""

from engine.page.model import PageCaption, PageSample
from engine.page.write import Thumbnail, page_text, thumbnails, write_page

__all__ = ["PageCaption", "PageSample", "Thumbnail", "page_text", "thumbnails", "write_page"]
