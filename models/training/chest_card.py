"""The card of `chest_xray` in Markdown, from its record: no number in it is written by hand."""

from collections.abc import Mapping
from typing import Any

from wardstream.models.chest_xray import CAVEAT


def card(record: Mapping[str, Any]) -> str:
    """The text of card.md."""
    sizes, compared, chosen = record["sizes"], record["compared"], record["chosen"]
    lines = [
        f"# {record['model']}: {chosen}",
        "",
        f"{CAVEAT} For trying out and research: not a medical device, and not validated on patients of any hospital "
        "that uses it.",
        "",
        "Signs of pneumonia in frontal chest films of children of 1–5 years from one hospital (PneumoniaMNIST; "
        "Yang et al., Sci Data 2023;10:41, after Kermany et al., Cell 2018;172:1122; CC BY 4.0), at 28×28 pixels. The "
        "films of that hospital with pneumonia may differ from those without in other ways than pneumonia.",
        "",
        f"Films: {sizes['open']} open, {sizes['open_with_pneumonia']} of them with pneumonia, in {sizes['folds']} "
        f"folds; {sizes['locked']} locked for the gate. Left out: {sizes['left_out']['exact']} exact and "
        f"{sizes['left_out']['near']} near duplicates, {sizes['left_out']['contradicting']} with contradicting labels.",
        "",
        "**Intervals are over images.** The set has no patient ids: films of one child may lie on both sides of a "
        "fold, so the true uncertainty is larger and the true performance may be lower.",
        "",
        "## Compared",
        "",
        "Each film judged by what had not seen it; 95 % bootstrap intervals. The threshold of balanced accuracy is the "
        "share of pneumonia among the training films. logistic: regression on the pixels; plain: the net from scratch; "
        "augmented; pretrained: begun from masked reconstruction, then augmented.",
        "",
        "| learner | AUROC | balanced accuracy | Brier | ECE |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, found in compared.items():
        plain, held = found["shifts"]["none"], found["calibration"]
        lines.append(
            f"| {name} | {_shown(plain['auroc'])} | {_shown(plain['balanced_accuracy'])} | {held['brier']:.3f} | "
            f"{held['ece']:.3f} |"
        )
    differences = record["differences"]
    if differences:
        lines += ["", f"Difference of AUROC from {record['against']}, on the same films (paired):", ""]
        lines += [f"- {name}: {_shown(found, '+.3f')}" for name, found in differences.items()]
    lines += ["", f"## {chosen}, on shifted films", "", "| shift | AUROC | balanced accuracy |", "| --- | --- | --- |"]
    for name, found in compared[chosen]["shifts"].items():
        lines.append(f"| {name} | {_shown(found['auroc'])} | {_shown(found['balanced_accuracy'])} |")
    lines += ["", "## Calibration", "", "| films | said | happened |", "| --- | --- | --- |"]
    for each in compared[chosen]["reliability"]:
        lines.append(f"| {each['rows']} | {each['said']:.3f} | {each['happened']:.3f} |")
    lines += [
        "",
        f"Made {record['made_at']} in {record['cpu_s'] / 60:.0f} minutes of processor time. torch and ONNX Runtime "
        f"differ by {record['parity']:.1e} at the most. Data `{record['data_hash'][:12]}`, code "
        f"`{record['code_hash'][:12]}`, model.onnx `{record['model_hash'][:12]}`.",
        "",
    ]
    return "\n".join(lines)


def _shown(found: Mapping[str, Any], form: str = ".3f") -> str:
    low, high = found["interval"]
    return f"{found['value']:{form}} ({low:{form}} to {high:{form}})"
