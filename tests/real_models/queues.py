"""The tables of kombu's transport, as the transport makes them."""

from kombu.transport.sqlalchemy.models import Message as MessageBase
from kombu.transport.sqlalchemy.models import ModelBase, metadata
from kombu.transport.sqlalchemy.models import Queue as QueueBase

__all__ = ["metadata"]

type("Queue", (QueueBase, ModelBase), {"__tablename__": "kombu_queue"})
type("Message", (MessageBase, ModelBase), {"__tablename__": "kombu_message"})
