"""Laboratory tests that the feeds send: LOINC code, UCUM unit, and what is impossible.

Units are UCUM, those in which the code is usually reported. `low` and `high` bound what a living patient's specimen can
give; beyond them is a unit or a column gone wrong. They are this project's own choices, wide like `schemas/bounds.py`.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Analyte(NamedTuple):
    """One test."""

    loinc: str
    unit: str
    low: float
    high: float


WBC: Final = Analyte("6690-2", "10*3/uL", 0, 1000)
PLATELETS: Final = Analyte("777-3", "10*3/uL", 0, 5000)
NEUTROPHILS: Final = Analyte("751-8", "10*3/uL", 0, 1000)
BANDS: Final = Analyte("26508-2", "%", 0, 100)
HAEMOGLOBIN: Final = Analyte("718-7", "g/dL", 0.5, 30)
HAEMATOCRIT: Final = Analyte("4544-3", "%", 1, 85)
SODIUM: Final = Analyte("2951-2", "mmol/L", 80, 220)
POTASSIUM: Final = Analyte("2823-3", "mmol/L", 0.8, 20)
CHLORIDE: Final = Analyte("2075-0", "mmol/L", 40, 200)
BICARBONATE: Final = Analyte("1963-8", "mmol/L", 0, 80)
CALCIUM_IONISED: Final = Analyte("1994-3", "mmol/L", 0.2, 5)
CALCIUM: Final = Analyte("17861-6", "mg/dL", 2.5, 30)  # below 2.5 it is ionised, or in mmol/L
MAGNESIUM: Final = Analyte("19123-9", "mg/dL", 0.1, 30)
PHOSPHATE: Final = Analyte("2777-1", "mg/dL", 0.1, 50)
LACTATE: Final = Analyte("32693-4", "mmol/L", 0, 50)
UREA_NITROGEN: Final = Analyte("3094-0", "mg/dL", 0, 400)
CREATININE: Final = Analyte("2160-0", "mg/dL", 0, 60)
GLUCOSE: Final = Analyte("2345-7", "mg/dL", 1, 3000)
BILIRUBIN: Final = Analyte("1975-2", "mg/dL", 0, 100)
BILIRUBIN_DIRECT: Final = Analyte("1968-7", "mg/dL", 0, 100)
ALBUMIN: Final = Analyte("1751-7", "g/dL", 0.2, 8)
CHOLESTEROL: Final = Analyte("2093-3", "mg/dL", 5, 2000)
FIBRINOGEN: Final = Analyte("3255-7", "mg/dL", 0, 3000)
ALT: Final = Analyte("1742-6", "U/L", 0, 100_000)
AST: Final = Analyte("1920-8", "U/L", 0, 100_000)
ALP: Final = Analyte("6768-6", "U/L", 0, 20_000)
CK: Final = Analyte("2157-6", "U/L", 0, 2_000_000)
LDH: Final = Analyte("2532-0", "U/L", 0, 200_000)
LIPASE: Final = Analyte("3040-3", "U/L", 0, 100_000)
INR: Final = Analyte("6301-6", "{INR}", 0.3, 50)
PT: Final = Analyte("5902-2", "s", 3, 500)
APTT: Final = Analyte("14979-9", "s", 5, 500)
TROPONIN_T: Final = Analyte("6598-7", "ng/mL", 0, 500)
TROPONIN_I: Final = Analyte("10839-9", "ng/mL", 0, 5000)
NT_PROBNP: Final = Analyte("33762-6", "pg/mL", 0, 1_000_000)
CRP: Final = Analyte("1988-5", "mg/L", 0, 2000)
HBA1C: Final = Analyte("4548-4", "%", 2, 30)
TSH: Final = Analyte("3016-3", "m[IU]/L", 0, 1000)
PH_ARTERIAL: Final = Analyte("2744-1", "[pH]", 6.3, 8.2)
PCO2_ARTERIAL: Final = Analyte("2019-8", "mm[Hg]", 3, 250)
PO2_ARTERIAL: Final = Analyte("2703-7", "mm[Hg]", 5, 800)
SO2_ARTERIAL: Final = Analyte("2708-6", "%", 5, 100)
BASE_EXCESS_ARTERIAL: Final = Analyte("1925-7", "mmol/L", -50, 50)
PH_BLOOD: Final = Analyte("11558-4", "[pH]", 6.3, 8.2)  # arterial or venous: the source does not say
PCO2_BLOOD: Final = Analyte("11557-6", "mm[Hg]", 3, 250)
PO2_BLOOD: Final = Analyte("11556-8", "mm[Hg]", 5, 800)
BASE_EXCESS_BLOOD: Final = Analyte("11555-0", "mmol/L", -50, 50)
POTASSIUM_BLOOD: Final = Analyte("6298-4", "mmol/L", 0.8, 20)
