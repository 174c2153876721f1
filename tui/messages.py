"""What the feed's thread tells the screen."""

from __future__ import annotations

from textual.message import Message

from cortex.peer.onlooker.feed import Lost, News, Seen


class FleetNews(Message):
    """One sight of the fleet, or its loss."""

    def __init__(self, news: News) -> None:
        self.news = news
        super().__init__()

    def can_replace(self, message: Message) -> bool:
        """A sight makes those before it that nobody has looked at yet superfluous."""
        return (
            isinstance(message, FleetNews)
            and isinstance(self.news, Seen)
            and not isinstance(message.news, Lost)
        )
