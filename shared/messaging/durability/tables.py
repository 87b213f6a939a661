"""The messaging tables of one service, declared together."""

from sqlalchemy import MetaData

from shared.messaging.durability.dead_letters import DeadLetters
from shared.messaging.durability.inbox import Inbox
from shared.messaging.durability.outbox import Outbox


class Tables:
    """The messaging tables of one service, declared in its metadata."""

    def __init__(self, metadata: MetaData) -> None:
        self.inbox, self.outbox, self.dead_letters = Inbox(metadata), Outbox(metadata), DeadLetters(metadata)
