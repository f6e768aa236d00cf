"""Critical values: results at which somebody should be called now. Each limit with where it was published.

Order of preference: a national guideline (RCPath), a national survey (Kost), the list of a reference laboratory (ARUP,
Mayo), the list of a hospital. Laboratories differ, and a site's own list goes before all of these. A value on a limit
is critical, unless the source says "below" or "above"; where it says neither, on the limit is read as critical.

Limits are those of adults and, where the source makes no difference by age, of all. Where it does, `from_age_years` is
the age from which this one holds; below it nothing is said, which is not "not critical". An unknown age counts as
adult. An analyte without a limit has the reason in `NO_LIMIT`.

RCPath states its limits in SI units. Those given here in mg/dL are rounded, and where rounding would leave the stated
limit out (glucose: 2.5 mmol/L is 45.039 mg/dL) it counts as well; mg/dL of glucose are reported in whole numbers.

Sources
-------
RCPath: Royal College of Pathologists, The communication of critical and unexpected pathology results, G158, London
2017; its limits as tabulated by Princess of Wales / PCH Pathology, Critical value cut-off limits, 2019.
Kost: Kost GJ, JAMA 1990;263:704 and its continuation, Table of critical limits, Clinical Laboratory Reference (MLO)
2023–24: means of a survey of US hospitals, adults.
ARUP: ARUP Laboratories, Critical values list, 2024. Mayo: Mayo Clinic Laboratories, Critical values / critical results
list, DLMP CL 041647. HEFT: Heart of England NHS Foundation Trust, Pathology phone limits.
"""

from typing import Final, Literal, NamedTuple

from wardstream.schemas.labs import Comparator

Direction = Literal["critical_low", "critical_high"]


class Limit(NamedTuple):
    """One end. `on_limit`: whether the limit itself is critical.

    `stated`: what the source says, in the canonical unit, where `value` is that rounded to the other side.
    """

    value: float
    on_limit: bool
    source: str
    from_age_years: float = 0.0
    stated: float | None = None

    @property
    def compared(self) -> float:
        """What values are compared with."""
        return self.value if self.stated is None else self.stated


class Critical(NamedTuple):
    """The limits of one analyte in its canonical unit; None: no list has one at that end."""

    low: Limit | None = None
    high: Limit | None = None


_WEEK: Final = 7 / 365.25
_OVER_16: Final = 16.0


def _rcpath(value: float, from_age_years: float = 0.0, stated: float | None = None) -> Limit:
    return Limit(value, True, "RCPath 2017", from_age_years, stated)


def _arup(value: float, on_limit: Literal["on limit", "beyond"], from_age_years: float = 0.0) -> Limit:
    return Limit(value, on_limit == "on limit", "ARUP 2024", from_age_years)


def _kost(value: float) -> Limit:
    return Limit(value, True, "Kost, mean of US hospitals")


def _mayo(value: float) -> Limit:
    return Limit(value, True, "Mayo DLMP CL 041647")


def _pch(value: float) -> Limit:
    return Limit(value, True, "PCH Pathology 2019", _OVER_16)


CRITICAL: Final[dict[str, Critical]] = {
    "wbc": Critical(_arup(2.0, "on limit"), _arup(40, "on limit")),
    "neut": Critical(low=_mayo(0.5)),
    "plt": Critical(_arup(20, "on limit"), _arup(1000, "on limit")),
    "hgb": Critical(_arup(7.0, "on limit", _WEEK), _arup(21.0, "beyond", _WEEK)),
    "hct": Critical(_arup(21, "on limit", _WEEK), _arup(65, "on limit", _WEEK)),
    "na": Critical(_rcpath(120, _OVER_16), _rcpath(160)),
    "k": Critical(_rcpath(2.5), _rcpath(6.5)),
    "cl": Critical(_kost(75), _kost(126)),
    "hco3": Critical(_arup(10, "beyond"), _arup(40, "beyond")),
    "ica": Critical(_arup(0.78, "on limit"), _arup(1.58, "on limit")),
    "ca": Critical(_arup(6.0, "beyond"), _arup(13.0, "beyond")),  # RCPath's are for adjusted calcium
    "mg": Critical(_arup(1.0, "beyond"), _arup(9.0, "beyond")),
    "phos": Critical(_arup(1.0, "beyond"), _arup(9.0, "beyond")),
    "lactate": Critical(high=_arup(5.0, "on limit")),
    "bun": Critical(high=_rcpath(84.0, _OVER_16)),  # urea 30 mmol/L
    "creat": Critical(high=_rcpath(4.0, _OVER_16)),  # 354 µmol/L
    "gluc": Critical(_rcpath(45.0, _OVER_16, 45.039), _rcpath(450.0, _OVER_16)),  # 2.5 and 25 mmol/L
    "bili": Critical(high=_arup(15.0, "beyond")),
    "alt": Critical(high=_pch(900)),  # RCPath: 15 times the upper limit of normal; 900 U/L as PCH applies it
    "ast": Critical(high=Limit(700, False, "HEFT phone limits")),
    "ck": Critical(high=_rcpath(5000)),
    "alb": Critical(_pch(2.0), _pch(5.5)),
    "fibr": Critical(low=_arup(100, "beyond")),
    "inr": Critical(high=_arup(5.0, "on limit")),
    "pt": Critical(high=_arup(46.3, "on limit")),
    "aptt": Critical(high=_arup(85, "on limit")),
    "tni": Critical(high=_arup(0.30, "on limit")),
    "crp": Critical(high=_pch(400)),  # RCPath's 300 is for patients at home
    "ph": Critical(_arup(7.25, "on limit"), _arup(7.60, "on limit")),
    "paco2": Critical(_arup(20, "on limit"), _arup(60, "on limit")),
    "pao2": Critical(low=_arup(40, "on limit")),
}
"""By code of the analyte, in its canonical unit."""

_ARTERIAL_ONLY: Final = "the lists' limits are for arterial blood, and this may be venous"
_ASSAY: Final = "RCPath leaves it to a local cut-off, for assays and sexes differ; a change says more (delta)"
_NOT_URGENT: Final = "on none of the lists: it answers a question of weeks"
NO_LIMIT: Final = {
    "bands": "on none of the lists: the total count is",
    "chol": _NOT_URGENT,
    "dbili": "on none of the lists: total bilirubin is",
    "alp": "on none of the lists",
    "ldh": "on none of the lists above; others that name it give no common value",
    "lipase": "the lists name amylase (RCPath: 5 times the upper limit of normal), which does not carry over",
    "ddimer": "the lists that have one call positive results of outpatients; most inpatients' are positive",
    "tnt": _ASSAY,
    "hstnt": _ASSAY,
    "hstni": _ASSAY,
    "ntprobnp": "on none of the lists: it grades a chronic illness",
    "bnp": "on none of the lists: it grades a chronic illness",
    "pct": "on none of the lists: it guides antibiotics, with cut-offs by question",
    "hba1c": _NOT_URGENT,
    "tsh": _NOT_URGENT,
    "sao2": "on none of the lists: pO2 is",
    "be": "on the lists for cord blood only: pH and bicarbonate are there for adults",
    "phb": _ARTERIAL_ONLY,
    "pco2b": _ARTERIAL_ONLY,
    "po2b": _ARTERIAL_ONLY,
    "beb": _ARTERIAL_ONLY,
}
"""Why an analyte has no critical limit."""


def critical(
    code: str, value: float, age_years: float | None = None, comparator: Comparator | None = None
) -> tuple[Direction, Limit] | None:
    """Tell whether a value is critical, at which end and by which limit.

    A result with a comparator is critical if every value that it may be is: above the high limit, or below the low one.

    Parameters
    ----------
    code : str
        Of the analyte.
    value : float
        In its canonical unit.
    age_years : float or None
        None: not known, and taken for an adult's.
    comparator : Comparator or None
        The result is below or above `value`; None: it is exact.

    Returns
    -------
    tuple of direction and Limit, or None
        None: it is not, or nothing is said of this analyte at this age.

    Examples
    --------
    >>> critical("k", 6.5)[0], critical("k", 6.4), critical("tsh", 90.0)
    ('critical_high', None, None)
    >>> critical("k", 10, comparator=">")[0], critical("k", 6.0, comparator=">")
    ('critical_high', None)
    """
    limits = CRITICAL.get(code)
    if limits is None:
        return None
    age = float("inf") if age_years is None else age_years
    low, high = limits
    if (
        low is not None
        and age >= low.from_age_years
        and comparator not in (">", ">=")
        and (value < low.compared or (value == low.compared and (low.on_limit or comparator == "<")))
    ):
        return "critical_low", low
    if (
        high is not None
        and age >= high.from_age_years
        and comparator not in ("<", "<=")
        and (value > high.compared or (value == high.compared and (high.on_limit or comparator == ">")))
    ):
        return "critical_high", high
    return None
