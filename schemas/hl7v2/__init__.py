"""HL7 v2 messages (2.1 to 2.9) to events: pure functions. `map_message` takes a message, `acknowledgement` answers it.

What a message carries for wardstream becomes events. What it carries that wardstream keeps nothing of is `ignored`, by
kind, and counted. What it should have carried but a value, unit or time forbids is a `Reject`: a small message of its
own, which can be mapped again once the feed's settings are mended; what stands beside it goes on. A message that is no
HL7 message, or does not say what it is, is `Malformed`, and its sender is told where.
"""

from wardstream.schemas.hl7v2.ack import acknowledgement as acknowledgement
from wardstream.schemas.hl7v2.feed import Code as Code
from wardstream.schemas.hl7v2.feed import Feed as Feed
from wardstream.schemas.hl7v2.mapped import PARTS as PARTS
from wardstream.schemas.hl7v2.mapped import Header as Header
from wardstream.schemas.hl7v2.mapped import Malformed as Malformed
from wardstream.schemas.hl7v2.mapped import Mapped as Mapped
from wardstream.schemas.hl7v2.mapped import Person as Person
from wardstream.schemas.hl7v2.mapped import Reject as Reject
from wardstream.schemas.hl7v2.mapping import map_message as map_message
from wardstream.schemas.hl7v2.reading import header_of_large as header_of_large
