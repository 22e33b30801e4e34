"""What a self-contained page must be: closed tags, nothing fetched, every picture described."""

from html.parser import HTMLParser

_VOID = {"meta", "img", "br", "hr", "link", "input"}
_FETCHED = {"src", "href", "xlink:href", "srcset", "data", "poster", "action"}
_ACTIVE = {"script", "link", "iframe", "object", "embed", "base"}


class Page(HTMLParser):
    """A page as far as it has been read; `problems` in sentences."""

    def __init__(self) -> None:
        super().__init__()
        self.problems: list[str] = []
        self.images = self.drawings = 0
        self.text = ""
        self._open: list[str] = []
        self._undescribed = False  # an <svg> that has not had its <title> yet

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        if self._undescribed and tag != "title":
            self.problems.append("an svg has no title")
        self._undescribed = tag == "svg"
        if tag in _ACTIVE:
            self.problems.append(f"<{tag}> may fetch something")
        for name in _FETCHED & values.keys():
            if not str(values[name]).startswith(("#", "data:")):
                self.problems.append(f"{tag} fetches {values[name]}")
        if "style" in values and "url(" in values["style"].replace("url(#", ""):
            self.problems.append(f"the style of {tag} fetches")
        if tag == "img":
            self.images += 1
            if not values.get("alt"):
                self.problems.append("an img has no alt")
        if tag == "svg":
            self.drawings += 1
            if values.get("role") != "img":
                self.problems.append("an svg has no role")
        if tag not in _VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in _VOID:
            self._open.pop()

    def handle_endtag(self, tag):
        if not self._open or self._open.pop() != tag:
            self.problems.append(f"</{tag}> closes nothing")

    def handle_data(self, data):
        self.text += data
        if self._open[-1:] == ["style"] and ("@import" in data or "url(" in data):
            self.problems.append("the style sheet fetches")


def read(text: str) -> Page:
    """Read a whole page."""
    page = Page()
    page.feed(text)
    page.close()
    if page._open:
        page.problems.append(f"<{page._open[-1]}> stays open")
    return page
