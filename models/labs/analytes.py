"""Every laboratory analyte: the one table that agents, models and feeds read.

Names, LOINC codes and units are those in which a code is usually reported; a value is kept in the canonical unit,
whatever unit it came in (`units`). What LOINC tells apart but a ward does not (lactate in blood and in plasma,
potassium in whole blood and in serum, an amount in mass and in moles) is one analyte with several codes. What may be
venous is none of the arterial analytes.

`low` and `high` bound what a living patient's specimen can give; data sets are cleaned by them (beyond is a unit or a
column gone wrong). They are this project's own choices, narrower than `schemas/bounds.py`, where a breach costs the
whole event.

How long a result counts as current is this project's own choice by how often the test is usually repeated while it
matters, and how fast the body can change it:

- blood gases, lactate, glucose: 6 hours. They change with ventilation, perfusion and insulin, within hours.
- electrolytes, kidneys, blood counts, clotting, heart and inflammation: 24 hours, the daily round of tests.
- liver, muscle and pancreas enzymes, bilirubin fractions, albumin, natriuretic peptides: 48 hours; half-lives of a day
  or more, repeated every other day. Total bilirubin and platelets stay at a day: SOFA is a daily score.
- cholesterol, HbA1c and thyrotropin: 30 days; they follow weeks, not days.
"""

from typing import Final, NamedTuple, get_args

from wardstream.schemas.labs import Comparator

_HOUR: Final = 3600.0
_GAS: Final = 6 * _HOUR
_DAILY: Final = 24 * _HOUR
_SLOW: Final = 48 * _HOUR
_WEEKS: Final = 30 * 24 * _HOUR


class Analyte(NamedTuple):
    """One analyte.

    Attributes
    ----------
    code : str
        Code of the signal in rows and features.
    field : str
        Name of the signal in outputs, with its unit.
    name : str
        For people.
    loincs : tuple of str
        LOINC codes, the usual one first.
    unit : str
        Canonical UCUM unit.
    low, high : float
        What is possible, in that unit; inclusive.
    window_s : float
        How long a result counts as current, in seconds.
    """

    code: str
    field: str
    name: str
    loincs: tuple[str, ...]
    unit: str
    low: float
    high: float
    window_s: float

    @property
    def loinc(self) -> str:
        """The usual code."""
        return self.loincs[0]


def _one(
    code: str, field: str, name: str, loincs: str, unit: str, low: float, high: float, window_s: float = _DAILY
) -> Analyte:
    return Analyte(code, field, name, tuple(loincs.split()), unit, low, high, window_s)


# blood count
WBC: Final = _one("wbc", "wbc_10e9_per_l", "white cells", "6690-2", "10*3/uL", 0, 1000)
BANDS: Final = _one("bands", "bands_percent", "band forms", "26508-2 764-1", "%", 0, 100)
NEUTROPHILS: Final = _one("neut", "neutrophils_10e9_per_l", "neutrophils", "751-8", "10*3/uL", 0, 1000)
PLATELETS: Final = _one("plt", "platelets_10e9_per_l", "platelets", "777-3", "10*3/uL", 0, 5000)
HAEMOGLOBIN: Final = _one("hgb", "haemoglobin_g_per_dl", "haemoglobin", "718-7 59260-0", "g/dL", 0.5, 30)
HAEMATOCRIT: Final = _one("hct", "haematocrit_percent", "haematocrit", "4544-3", "%", 1, 85)
# electrolytes
SODIUM: Final = _one("na", "sodium_mmol_per_l", "sodium", "2951-2", "mmol/L", 80, 220)
POTASSIUM: Final = _one("k", "potassium_mmol_per_l", "potassium", "2823-3 6298-4", "mmol/L", 0.8, 20)
CHLORIDE: Final = _one("cl", "chloride_mmol_per_l", "chloride", "2075-0", "mmol/L", 40, 200)
BICARBONATE: Final = _one("hco3", "bicarbonate_mmol_per_l", "bicarbonate", "1963-8", "mmol/L", 0, 80)
CALCIUM_IONISED: Final = _one("ica", "ionised_calcium_mmol_per_l", "ionised calcium", "1994-3", "mmol/L", 0.2, 5)
CALCIUM: Final = _one(
    "ca", "calcium_mg_per_dl", "calcium", "17861-6 2000-8", "mg/dL", 2.5, 30
)  # less: ionised, or mmol
MAGNESIUM: Final = _one("mg", "magnesium_mg_per_dl", "magnesium", "19123-9 2601-3", "mg/dL", 0.1, 30)
PHOSPHATE: Final = _one("phos", "phosphate_mg_per_dl", "phosphate", "2777-1 14879-1", "mg/dL", 0.1, 50)
# metabolism and kidneys
LACTATE: Final = _one("lactate", "lactate_mmol_per_l", "lactate", "32693-4 2524-7", "mmol/L", 0, 50, _GAS)
UREA_NITROGEN: Final = _one(
    "bun", "urea_nitrogen_mg_per_dl", "urea nitrogen", "3094-0 14937-7 22664-7", "mg/dL", 0, 400
)
CREATININE: Final = _one("creat", "creatinine_mg_per_dl", "creatinine", "2160-0 14682-9", "mg/dL", 0, 60)
GLUCOSE: Final = _one("gluc", "glucose_mg_per_dl", "glucose", "2345-7 14749-6", "mg/dL", 1, 3000, _GAS)
CHOLESTEROL: Final = _one("chol", "cholesterol_mg_per_dl", "cholesterol", "2093-3 14647-2", "mg/dL", 5, 2000, _WEEKS)
# liver, muscle, pancreas
BILIRUBIN: Final = _one("bili", "bilirubin_mg_per_dl", "bilirubin", "1975-2 14631-6", "mg/dL", 0, 100)
BILIRUBIN_DIRECT: Final = _one(
    "dbili", "direct_bilirubin_mg_per_dl", "direct bilirubin", "1968-7 14629-0", "mg/dL", 0, 100, _SLOW
)
ALBUMIN: Final = _one("alb", "albumin_g_per_dl", "albumin", "1751-7", "g/dL", 0.2, 8, _SLOW)
ALT: Final = _one("alt", "alt_u_per_l", "ALT", "1742-6", "U/L", 0, 100_000, _SLOW)
AST: Final = _one("ast", "ast_u_per_l", "AST", "1920-8", "U/L", 0, 100_000, _SLOW)
ALP: Final = _one("alp", "alp_u_per_l", "alkaline phosphatase", "6768-6", "U/L", 0, 20_000, _SLOW)
CK: Final = _one("ck", "ck_u_per_l", "creatine kinase", "2157-6", "U/L", 0, 2_000_000, _SLOW)
LDH: Final = _one("ldh", "ldh_u_per_l", "lactate dehydrogenase", "2532-0", "U/L", 0, 200_000, _SLOW)
LIPASE: Final = _one("lipase", "lipase_u_per_l", "lipase", "3040-3", "U/L", 0, 100_000, _SLOW)
# clotting
FIBRINOGEN: Final = _one("fibr", "fibrinogen_mg_per_dl", "fibrinogen", "3255-7", "mg/dL", 0, 3000)
INR: Final = _one("inr", "inr", "INR", "6301-6", "{INR}", 0.3, 50)
PT: Final = _one("pt", "prothrombin_time_s", "prothrombin time", "5902-2", "s", 3, 500)
APTT: Final = _one("aptt", "aptt_s", "aPTT", "14979-9", "s", 5, 500)
D_DIMER: Final = _one("ddimer", "d_dimer_feu_ng_per_ml", "D-dimer", "48065-7", "ng/mL{FEU}", 0, 1_000_000)
# heart
TROPONIN_T: Final = _one("tnt", "troponin_t_ng_per_ml", "troponin T", "6598-7", "ng/mL", 0, 500)
TROPONIN_I: Final = _one("tni", "troponin_i_ng_per_ml", "troponin I", "10839-9", "ng/mL", 0, 5000)
HS_TROPONIN_T: Final = _one("hstnt", "hs_troponin_t_ng_per_l", "troponin T, hs", "67151-1", "ng/L", 0, 500_000)
HS_TROPONIN_I: Final = _one("hstni", "hs_troponin_i_ng_per_l", "troponin I, hs", "89579-7", "ng/L", 0, 5_000_000)
NT_PROBNP: Final = _one("ntprobnp", "nt_probnp_pg_per_ml", "NT-proBNP", "33762-6", "pg/mL", 0, 1_000_000, _SLOW)
BNP: Final = _one("bnp", "bnp_pg_per_ml", "BNP", "30934-4", "pg/mL", 0, 200_000, _SLOW)
# inflammation, hormones
CRP: Final = _one("crp", "crp_mg_per_l", "C-reactive protein", "1988-5", "mg/L", 0, 2000)
PROCALCITONIN: Final = _one("pct", "procalcitonin_ng_per_ml", "procalcitonin", "33959-8", "ng/mL", 0, 5000)
HBA1C: Final = _one("hba1c", "hba1c_percent", "HbA1c", "4548-4 59261-8", "%", 2, 30, _WEEKS)
TSH: Final = _one("tsh", "tsh_miu_per_l", "thyrotropin", "3016-3", "m[IU]/L", 0, 1000, _WEEKS)
# blood gases, arterial
PH_ARTERIAL: Final = _one("ph", "arterial_ph", "arterial pH", "2744-1", "[pH]", 6.3, 8.2, _GAS)
PCO2_ARTERIAL: Final = _one("paco2", "paco2_mmhg", "arterial pCO2", "2019-8", "mm[Hg]", 3, 250, _GAS)
PO2_ARTERIAL: Final = _one("pao2", "pao2_mmhg", "arterial pO2", "2703-7", "mm[Hg]", 5, 800, _GAS)
SO2_ARTERIAL: Final = _one("sao2", "sao2_percent", "arterial oxygen saturation", "2708-6", "%", 5, 100, _GAS)
BASE_EXCESS_ARTERIAL: Final = _one(
    "be", "base_excess_mmol_per_l", "base excess, arterial", "1925-7", "mmol/L", -50, 50, _GAS
)
# blood gases of which the source does not say whether they are arterial or venous
PH_BLOOD: Final = _one("phb", "blood_ph", "pH of blood", "11558-4", "[pH]", 6.3, 8.2, _GAS)
PCO2_BLOOD: Final = _one("pco2b", "blood_pco2_mmhg", "pCO2 of blood", "11557-6", "mm[Hg]", 3, 250, _GAS)
PO2_BLOOD: Final = _one("po2b", "blood_po2_mmhg", "pO2 of blood", "11556-8", "mm[Hg]", 5, 800, _GAS)
BASE_EXCESS_BLOOD: Final = _one(
    "beb", "blood_base_excess_mmol_per_l", "base excess of blood", "11555-0", "mmol/L", -50, 50, _GAS
)

ANALYTES: Final[tuple[Analyte, ...]] = tuple(known for known in list(globals().values()) if isinstance(known, Analyte))
"""All of them, in the order above."""
BY_LOINC: Final = {loinc: analyte for analyte in ANALYTES for loinc in analyte.loincs}
BY_CODE: Final = {analyte.code: analyte for analyte in ANALYTES}
SIGNS: Final[tuple[Comparator, ...]] = get_args(Comparator)
BEYOND: Final = {f"{sign}{analyte.code}": (analyte.code, sign) for analyte in ANALYTES for sign in SIGNS}
"""Codes of results with a comparator, such as `>k`, and what they are of: no signal, so that nothing that reads numbers
takes the end of the measuring range for one."""
