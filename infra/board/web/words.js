// Names of fields in clinicians' words, and numbers, ages and times as they read them.

/** The seven parts of NEWS2 in the order of its chart: [field, short, long, unit]. */
export const PARTS = [
  ["respiratory_rate_per_min", "RR", "Respiratory rate", "/min"],
  ["spo2_percent", "SpO₂", "Oxygen saturation", "%"],
  ["supplemental_oxygen", "O₂", "Oxygen given", ""],
  ["systolic_mmhg", "SBP", "Systolic pressure", "mmHg"],
  ["heart_rate_bpm", "HR", "Heart rate", "/min"],
  ["consciousness", "ACVPU", "Consciousness", ""],
  ["temperature_celsius", "Temp", "Temperature", "°C"],
];

export const PRIORITY = { high: "High", medium: "Medium", low: "Low" };
export const PRIORITY_SIGN = { high: "!!!", medium: "!!", low: "!" };
const LEVELS = { A: "alert", C: "new confusion", V: "responds to voice", P: "responds to pain", U: "unresponsive" };
const KNOWN = new Map([
  ...PARTS.map(([field, , long]) => [field, long]),
  ["news2", "NEWS2"],
  ["qsofa", "qSOFA"],
  ["sofa", "SOFA"],
  ["diastolic_mmhg", "Diastolic pressure"],
  ["mean_pressure_mmhg", "Mean pressure"],
  ["gcs_total", "Glasgow Coma Scale"],
  ["news", "NEWS (first version)"],
  ["sirs", "SIRS"],
  ["mews", "MEWS"],
  ["kdigo_aki", "KDIGO kidney injury"],
  ["wbc", "White cells"],
  ["crp", "CRP"],
  ["crp_mg_per_l", "CRP"],
  ["paco2", "Arterial pCO₂"],
  ["paco2_mmhg", "Arterial pCO₂"],
  ["arterial_ph", "Arterial pH"],
  ["sao2_percent", "Arterial saturation"],
  ["aptt_s", "APTT"],
  ["ast_u_per_l", "AST"],
  ["alp_u_per_l", "ALP"],
  ["fio2_fraction", "FiO₂"],
  ["troponin_i_ng_per_ml", "Troponin I"],
  ["H", "High"],
  ["L", "Low"],
  ["HH", "Critical high"],
  ["LL", "Critical low"],
  ["A", "Abnormal"],
  ["patient_shown", "Looked at the patient"],
  ["identity_shown", "Was shown the name"],
  ["covered_50", "In the 50 % range"],
  ["covered_80", "In the 80 % range"],
  ["covered_95", "In the 95 % range"],
  ["etco2_mmhg", "End-tidal CO₂"],
  ["spo2", "SpO₂"],
  ["auroc", "AUROC"],
  ["auprc", "AUPRC"],
  ["ece", "ECE"],
  ["mae", "MAE"],
  ["crps", "CRPS"],
]);
const UNITS = [
  [/_mmol_per_l$/, " mmol/L"],
  [/_umol_per_l$/, " µmol/L"],
  [/_mg_per_l$/, " mg/L"],
  [/_mg_per_dl$/, " mg/dL"],
  [/_g_per_dl$/, " g/dL"],
  [/_ng_per_ml$/, " ng/mL"],
  [/_u_per_l$/, " U/L"],
  [/_g_per_l$/, " g/L"],
  [/_10e9_per_l$/, " 10⁹/L"],
  [/_per_min$/, " /min"],
  [/_bpm$/, " /min"],
  [/_mmhg$/, " mmHg"],
  [/_celsius$/, " °C"],
  [/_percent$/, " %"],
];

/** A field or code in words: its own name without underscores where it is not known. */
export function words(name) {
  if (name === null || name === undefined) return "";
  const known = KNOWN.get(name);
  if (known) return known;
  const unit = UNITS.find(([ending]) => ending.test(name));
  const bare = (unit ? name.replace(unit[0], "") : name).replaceAll("_", " ");
  return bare.charAt(0).toUpperCase() + bare.slice(1);
}

/** The unit that a field's name ends with, or nothing. */
export function unitOf(name) {
  return UNITS.find(([ending]) => ending.test(name))?.[1].trim() ?? "";
}

/** A value of a tile, short. */
export function value(field, one) {
  if (one === null || one === undefined) return "–";
  if (field === "supplemental_oxygen") return one === true ? "yes" : one === false ? "air" : String(one);
  if (field === "temperature_celsius" && typeof one === "number") return one.toFixed(1);
  if (typeof one === "number") return number(one);
  return String(one);
}

/** A value of a tile as a phrase. */
export function phrase(field, one) {
  if (one === null || one === undefined) return "not known";
  if (field === "consciousness") return LEVELS[one] ?? String(one);
  if (field === "supplemental_oxygen") return one ? "oxygen given" : "on air";
  return `${value(field, one)} ${PARTS.find(([name]) => name === field)?.[3] ?? ""}`.trim();
}

export function number(one, digits = 1) {
  if (one === null || one === undefined || Number.isNaN(one)) return "–";
  const rounded = Math.abs(one) >= 100 || Number.isInteger(one) ? Math.round(one) : Number(one.toFixed(digits));
  return rounded.toLocaleString("en-GB", { maximumFractionDigits: digits });
}

/** A probability as a percentage, never rounded to certainty. */
export function percent(one) {
  if (one === null || one === undefined) return "–";
  const share = one * 100;
  if (share > 0 && share < 1) return "<1 %";
  if (share < 100 && share > 99) return ">99 %";
  return `${Math.round(share)} %`;
}

/** A length of time in one short unit: 45 s, 12 min, 3 h, 2 d. */
export function span(seconds) {
  const s = Math.max(0, Math.round(seconds));
  if (s < 60) return `${s} s`;
  if (s < 5400) return `${Math.round(s / 60)} min`;
  if (s < 172_800) return `${Math.round(s / 3600)} h`;
  return `${Math.round(s / 86_400)} d`;
}

/** How old, in whole minutes: it changes once a minute at most. */
export function age(ms) {
  const minutes = Math.floor(ms / 60_000);
  if (minutes < 1) return "now";
  if (minutes < 90) return `${minutes}m`;
  if (minutes < 2880) return `${Math.round(minutes / 60)}h`;
  return `${Math.round(minutes / 1440)}d`;
}

/** A count-down or -up as m:ss, or h:mm over an hour. */
export function timer(ms) {
  const s = Math.max(0, Math.floor(ms / 1000));
  if (s >= 3600) return `${Math.floor(s / 3600)}:${String(Math.floor((s % 3600) / 60)).padStart(2, "0")} h`;
  return `${Math.floor(s / 60)}:${String(s % 60).padStart(2, "0")}`;
}

const CLOCK = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const DAY = new Intl.DateTimeFormat("en-GB", { day: "2-digit", month: "short", hour: "2-digit", minute: "2-digit" });

/** A time of day, with the day where it is not today. */
export function time(at) {
  if (at === null || at === undefined) return "–";
  const date = new Date(at);
  return date.toDateString() === new Date().toDateString() ? CLOCK.format(date) : DAY.format(date);
}

export function sexShort(sex) {
  return { female: "F", male: "M", other: "X" }[sex] ?? "";
}

/** Orders on resuscitation in short. */
export function code(status) {
  return { full: "Full code", full_code: "Full code", dnr: "DNR", dni: "DNI", dnr_dni: "DNR/DNI" }[String(status).toLowerCase()] ?? words(status);
}

const UCUM = new Map([["10*3/uL", "10³/µL"], ["10*9/L", "10⁹/L"], ["10*6/uL", "10⁶/µL"], ["mm[Hg]", "mmHg"], ["[pH]", ""], ["{INR}", ""], ["1", ""], ["Cel", "°C"], ["umol/L", "µmol/L"]]);

/** A unit of measurement, given as UCUM has it, as people write it. */
export function measure(unit) {
  return UCUM.get(unit) ?? unit ?? "";
}

/** What stands beside a laboratory result; a flag of what is normal says nothing. */
export function remark(flag, preliminary) {
  return [flag && flag !== "N" ? words(flag) : "", preliminary ? "preliminary" : ""].filter(Boolean).join(", ");
}

/** An alert's sentence, its fields in words. */
export function sentence(alert) {
  const text = alert.reason.replace(/\b[a-z]+[0-9]*(?:_[a-z0-9]+)+\b/g, (name) => words(name).replace(/^[A-Z](?=[a-z])/, (letter) => letter.toLowerCase()));
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** What is wrong, without how long nobody has answered: where that stands beside it. */
export function cause(alert) {
  return sentence({ reason: alert.reason.replace(/^nobody has answered[^:]*: /, "") });
}
