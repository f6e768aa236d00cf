"""A model's card in Markdown, from its record."""

from collections.abc import Mapping, Sequence
from typing import Any

from wardstream.models.training.measures import BURDEN, CREDITED
from wardstream.models.training.record import Record

_NAMES = (("lead_h", "hours before onset"), ("auroc", "AUROC"), ("auprc", "AUPRC"), ("utility", "utility"))


def card(record: Record) -> str:
    """The text of card.md."""
    sizes, chosen = record.sizes, record.compared[record.chosen]
    lines = [
        f"# {record.model}: {record.chosen}",
        "",
        "The probability that sepsis begins within 6 hours, each hour of a stay in intensive care. For trying out and "
        "research: not a medical device, and not validated on patients of any hospital that uses it.",
        "",
        f"Made {record.made_at}. Data `{record.data_hash[:12]}`, code of the inputs `{record.code_hash[:12]}`, inputs "
        f"version {record.inputs_version}, model.onnx `{record.model_hash[:12]}`.",
        "",
        f"Patients: {_n(sizes['open'])} open, in {_n(sizes['folds'])} folds: one chose settings, how long was learnt, "
        f"and how it is calibrated; what is told here is of the {_n(sizes['judged'])} patients of the others (of them "
        f"{_n(sizes['judged_septic'])} with sepsis), said by models that had seen nothing of them. "
        f"{_n(sizes['locked'])} are locked away, of whom nothing here is known; the gate counts each look at them. "
        f"{_n(sizes['unlabelled'])} stays without labels served pre-training where it says so. One hospital's "
        "patients: expect less elsewhere.",
        "",
        "## Compared",
        "",
        *_budget(record.settings),
        f"The folds taken together. Hours before onset: mean over patients of known onset, 0 without an alert in the "
        f"{CREDITED} hours before, all at {BURDEN:g} alerts a patient-day. Utility: the challenge's, its threshold "
        "found on other folds. 95 % intervals over patients. `boosting+…`: the mean of their log-odds.",
        "",
        *_table(
            ("learner", *(title for _, title in _NAMES), "Brier", "ECE", "slope"),
            [
                (name, *(_with_interval(found[key]) for key, _ in _NAMES), *_calibration(found))
                for name, found in record.compared.items()
            ],
        ),
        "",
        f"Difference from {record.against} on the same patients (paired):",
        "",
        *_table(
            ("learner", *(title for _, title in _NAMES)),
            [
                (name, *(_with_interval(found[key], "difference") for key, _ in _NAMES))
                for name, found in record.differences.items()
            ],
        ),
        "",
        "`-no-clock` is without the hours since admission, `-no-counts` without what was measured when; a net still "
        "sees how many hours its window has, and when a value changes.",
        "",
        f"## {record.chosen}, in detail",
        "",
        *_table(("", "hours", "positive", "AUROC", "AUPRC", "said", "happened"), _groups(chosen["groups"])),
        "",
        *_alerts(chosen),
        "",
        *_explanations(record.explanations),
        f"torch and ONNX Runtime differ by at most {_f(record.parity, 2, 'g')} in log-odds. A batch of 64 takes "
        f"{_f(record.latency_s and record.latency_s * 1000, 1)} ms on ONNX Runtime with two threads.",
        "",
        "![reliability](reliability.png) ![ROC](roc.png) ![precision and recall](pr.png) "
        "![confusion matrix](confusion.png) ![learning](curves.png)",
        "",
        "Limits: adults in intensive care; labels are Sepsis-3 times made from orders of antibiotics and cultures, so "
        "what clinicians already suspected is in them; the frequency of measuring is itself a sign of suspicion.",
        "",
    ]
    return "\n".join(lines)


def _budget(settings: Mapping[str, Any]) -> list[str]:
    """The budget of the search; records of before it was kept say nothing of it."""
    tried = settings.get("tried")
    if not tried:
        return []
    counts = ", ".join(f"{name} {_n(count)}" for name, count in tried.items())
    return [f"Settings tried, all on the fold that chooses: {counts}; every other learner had one or took these.", ""]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)]


def _with_interval(found: Mapping[str, Any], key: str = "value") -> str:
    value, interval = found.get(key), found.get("interval")
    return _f(value, 3) if interval is None else f"{_f(value, 3)} ({_f(interval[0], 3)} to {_f(interval[1], 3)})"


def _calibration(found: Mapping[str, Any]) -> tuple[str, str, str]:
    of = found["calibration"]
    return _f(of["brier"], 4), _f(of["ece"], 4), _f(of["slope"], 2)


def _groups(groups: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, ...]]:
    return [
        (
            name,
            _n(found["hours"]),
            _n(found["positive_hours"]),
            *(_f(found.get(key), 3) for key in ("auroc", "auprc")),
            *(_f(found.get(key), 4) for key in ("said", "happened")),
        )
        for name, found in groups.items()
    ]


def _alerts(found: Mapping[str, Any]) -> list[str]:
    alerts, counts = found["alerts"], found["counts"]
    return [
        f"At {_f(alerts['per_patient_day'], 2)} alerts a patient-day: {_f(alerts['warned_share'], 2)} of "
        f"{_n(counts['known_onsets'])} patients with a known onset were warned of before it; of the hours, sensitivity "
        f"{_f(alerts['sensitivity_rows'], 2)}, PPV {_f(alerts['ppv_rows'], 2)}. Of {_n(counts['hours'])} hours "
        f"{_n(counts['abstained_hours'])} had no answer, for too little was known."
    ]


def _explanations(found: Mapping[str, Any]) -> list[str]:
    if not found:
        return []
    falls = found["log_odds_fall"]
    return [
        f"Explanations leave groups of inputs out. Of {_n(found['hours'])} patients' highest hours, they agree with "
        "integrated gradients (of a blend: of its net) by a rank correlation of "
        f"{_f(found['rank_correlation'], 2)}; leaving out the three groups named first takes "
        f"{_f(falls['occlusion'], 2)} from the log-odds, the three of integrated gradients "
        f"{_f(falls['integrated_gradients'], 2)}, three at random {_f(falls['random'], 2)}.",
        "",
    ]


def _f(value: float | None, digits: int, form: str = "f") -> str:
    return "–" if value is None or value != value else f"{value:.{digits}{form}}"


def _n(value: int) -> str:
    return f"{value:,}"
