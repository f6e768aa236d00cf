"""Which films the chest model may judge. Pure.

The model has seen frontal chest films of children of one to five years from one hospital, 28×28 pixels small (the
PneumoniaMNIST set; its source, Kermany et al., Cell 2018;172:1122, took them from "pediatric patients of one to five
years old" in Guangzhou). Of anything else its answer means nothing, so everything must be *stated*: the event and the
file's own header are both heard, whatever either says must be suitable, and one of them must say it.
"""

from collections.abc import Callable, Iterable, Sequence
from math import floor
from typing import Final

from msgspec import Struct

from wardstream.models.imaging.film import About, Unusable

MODALITIES: Final = frozenset({"CR", "DX", "RG"})  # computed, digital and conventional radiography (PS3.3 C.7.3.1.1.1)
BODY_PARTS: Final = frozenset({"CHEST", "THORAX"})  # PS3.16 Annex L: CHEST; THORAX is what some vendors write
VIEWS: Final = frozenset({"PA", "AP"})  # PS3.3 C.8.7.1: posterior/anterior, anterior/posterior
TRAINED_YEARS: Final = (1, 5)


class Rules(Struct, frozen=True, kw_only=True):
    """What a site allows: ages in completed years, both ends included."""

    youngest: int = TRAINED_YEARS[0]
    oldest: int = TRAINED_YEARS[1]

    @property
    def note(self) -> str | None:
        """What every finding must say where the site has widened the ages; None where it has not."""
        if self.youngest >= TRAINED_YEARS[0] and self.oldest <= TRAINED_YEARS[1]:
            return None
        own = f"{TRAINED_YEARS[0]}–{TRAINED_YEARS[1]}"
        return (
            f"This site has widened the ages to {self.youngest}–{self.oldest} years; "
            f"the model was made with children of {own} years and is untested beyond."
        )


def refuse(sources: Iterable[About], rules: Rules) -> None:
    """Let only suitable films pass.

    Parameters
    ----------
    sources : what the event states, and what the file states.

    Raises
    ------
    Unusable
        The first rule that something stated breaks, or that nothing stated meets.
    """
    heard = list(sources)
    refuse_stated(heard, rules)
    for code, read, _ in _needed(rules):
        if all(read(about) is None for about in heard):
            raise Unusable(f"{code}_unknown")


def refuse_stated(sources: Iterable[About], rules: Rules) -> None:
    """As `refuse`, but what is not stated yet may still come: asked before anything is fetched or decoded.

    Raises
    ------
    Unusable
        Something stated breaks a rule.
    """
    heard = list(sources)
    for code, read, suits in _needed(rules):
        if any((value := read(about)) is not None and not suits(value) for about in heard):
            raise Unusable(code)
    for about in heard:
        if about.intent == "FOR PROCESSING":
            raise Unusable("for_processing")
        if "LOCALIZER" in about.image_type or about.image_type[:2] == ("DERIVED", "SECONDARY"):
            raise Unusable("localizer")


_Need = tuple[str, Callable[[About], str | float | None], Callable[[str | float], bool]]


def _needed(rules: Rules) -> Sequence[_Need]:
    return (
        ("modality", lambda about: about.modality, lambda value: value in MODALITIES),
        ("body_part", lambda about: about.body_part, lambda value: value in BODY_PARTS),
        ("view", lambda about: about.view, lambda value: value in VIEWS),
        ("age", lambda about: about.age_years, lambda value: rules.youngest <= floor(float(value)) <= rules.oldest),
    )
