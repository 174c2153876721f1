"""What the feed's thread tells the screen."""

from __future__ import annotations

from textual.message import Message

from cortex.peer.onlooker.feed import News, Seen


class FleetNews(Message):
    """One sight of the fleet, or its loss."""

    def __init__(self, news: News) -> None:
        self.news = news
        super().__init__()

    def can_replace(self, message: Message) -> bool:
        """Whether this one is superfluous, now that the other has come after it: a sight is, but
        for what it alone tells of what has happened.
        """
        return (
            isinstance(self.news, Seen)
            and self.news.sight.happening is None
            and isinstance(message, FleetNews)
            and isinstance(message.news, Seen)
        )
