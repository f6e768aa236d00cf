"""From an example as it travels to one that is learned from."""

from wardstream.models.risk.features import VERSION, Known
from wardstream.models.risk.learner import Example
from wardstream.models.risk.target import Target
from wardstream.schemas.training_examples import TrainingExample


def learnable(event: TrainingExample, target: Target) -> Example | None:
    """The example; None: it has no label, or is of other inputs or another target, and teaches nothing."""
    if event.label is None or event.features != VERSION:
        return None
    if event.target != target.name or event.horizon_h != target.horizon_h:
        return None
    return Example(
        patient_id=event.patient_id,
        hour=event.hour,
        inputs={name: Known(one.value, one.age_h) for name, one in event.inputs.items()},
        happened=event.label,
        unit=event.unit,
        said=event.said,
    )
