"""A reader of the pages that the recipe writes."""

from html.parser import HTMLParser

VOID = {"meta", "br", "path", "use"}


class Page(HTMLParser):
    """Reads the English of a page, and sees that every element is closed."""

    def __init__(self, source: str):
        super().__init__()
        self.source = source
        self.open, self.words, self.links, self.tags, self.hidden = [], [], [], [], []
        self.feed(source)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        if self.hidden or ("lang", "zh") in attributes or tag in ("style", "script"):
            self.hidden.append(tag)
        self.links += [value for name, value in attributes if name in ("src", "href", "xlink:href")]
        if tag not in VOID - {"path", "use"}:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in VOID - {"path", "use"}:
            self.open.pop()
            if self.hidden:
                self.hidden.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
        if self.hidden:
            self.hidden.pop()

    def handle_data(self, data):
        if not self.hidden:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())
