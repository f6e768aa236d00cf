"""What a topic is: each schema module declares its own as `TOPIC`; `topics` collects them."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:  # they import this module
    from wardstream.schemas.alert_policies import AlertPolicy
    from wardstream.schemas.audit import AuditRecord
    from wardstream.schemas.deliveries import Delivery
    from wardstream.schemas.envelope import Event
    from wardstream.schemas.flow import Flow
    from wardstream.schemas.identities import Identity
    from wardstream.schemas.metrics import Metrics
    from wardstream.schemas.model_controls import ModelControl
    from wardstream.schemas.notices import Notice
    from wardstream.schemas.operator_alerts import OperatorAlert
    from wardstream.schemas.operator_answers import OperatorAnswer
    from wardstream.schemas.risk_models import RiskModel
    from wardstream.schemas.subscriptions import Subscription
    from wardstream.schemas.ticks import Tick

DAY_MS: Final = 24 * 60 * 60 * 1000
MONTH_MS: Final = 30 * DAY_MS
YEAR_MS: Final = 400 * DAY_MS

Key = Literal["patient_id", "alert_id", "notice_id", "unit", "process", "who", "name", "none"]
Role = Literal["input", "internal", "output"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """One topic.

    Attributes
    ----------
    name : str
        `<plural>.v<n>`; the class is in the module of that name. A change that old consumers cannot read is a new n.
    type : type
        The record's type: an `Event`, or one of those that are no events about a patient: `Tick`, `Metrics`,
        `Identity`, `AuditRecord`, `Notice`, `RiskModel`, `ModelControl`, `Flow`, `AlertPolicy`,
        `Subscription`, `Delivery`, `OperatorAlert`, `OperatorAnswer`.
    role : {"input", "internal", "output"}
        Whether others publish to it, lanes do for lanes (anybody may read it, too), or this project does for all.
    keyed_by : {"patient_id", "alert_id", "notice_id", "unit", "process", "who", "name", "none"}
        The field whose UTF-8 is the record's key; unit: in `occupancy.v1` with the encounter behind it; none: no key,
        written to a partition by number.
    partitions : int or None
        How many, where they are not the lanes. It never changes: the place of a key follows from it. None: the lanes.
    compacted : bool
        Whether Kafka keeps the last record of each key for ever.
    relayed : bool
        Whether an output is also what a group of our own reads: it then has dead letters.
    retention_ms : int or None
        How long records are kept; None: for ever.
    description : str
        What it carries, for the documents.
    """

    name: str
    type: (
        "type[Event] | type[Tick] | type[Metrics] | type[Identity] | type[AuditRecord] | type[Notice] | "
        "type[RiskModel] | type[ModelControl] | type[Flow] | type[AlertPolicy] | "
        "type[Subscription] | type[Delivery] | type[OperatorAlert] | type[OperatorAnswer]"
    )
    role: Role
    keyed_by: Key = "patient_id"
    partitions: int | None = None
    compacted: bool = False
    relayed: bool = False
    retention_ms: int | None = MONTH_MS
    description: str

    @property
    def in_lanes(self) -> bool:
        """Whether its partitions are the lanes: the patient's partition, whatever the key."""
        return self.partitions is None
