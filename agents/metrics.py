"""Every metric, named once, with its unit and meaning. What counts them is in `meters`."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, Final

from wardstream.agents.meters import Histogram as Histogram
from wardstream.agents.meters import Kind as Kind
from wardstream.agents.meters import Labels as Labels
from wardstream.agents.meters import Meters as Meters
from wardstream.agents.meters import Metric as Metric
from wardstream.agents.meters import quantile as quantile
from wardstream.agents.meters import series_name as series_name

if TYPE_CHECKING:  # it brings gRPC, which who only reads metrics does not need
    from wardstream.models.triton import Outcome

EVENTS = Metric("events_total", "counter", "events", "Events applied, duplicates and dead letters apart", ("topic",))
BYTES = Metric("input_bytes_total", "counter", "bytes", "Size of the values of all records read", ("topic",))
OUTPUTS = Metric("outputs_total", "counter", "events", "Records written, dead letters apart", ("topic",))
DEAD_LETTERS = Metric(
    "dead_letters_total", "counter", "events", "Records sent to a dead-letter topic", ("topic", "reason")
)
DUPLICATES = Metric(
    "duplicates_total", "counter", "events", "Events whose id their patient had already seen", ("topic",)
)
STRAYS = Metric(
    "strays_total", "counter", "events", "Events found in another lane than their patient's, forwarded", ("topic",)
)
FOLLOWED = Metric(
    "followed_total", "counter", "events", "Events of an id that has ceased in a merge, forwarded", ("topic",)
)
HANDLER_ERRORS = Metric(
    "handler_errors_total",
    "counter",
    "errors",
    "Handlers that raised: on an event, which becomes a dead letter, or on what a tick means for one patient",
    ("topic", "error"),
)
RELOADS = Metric("lane_reloads_total", "counter", "times", "Lanes restored from their changelog", ("cause",))
INPUTS_RECREATED = Metric(
    "inputs_recreated_total", "counter", "times", "Input topics found to be made anew", ("topic",)
)
INPUT_LOST = Metric(
    "input_lost_total",
    "counter",
    "records",
    "Records that retention or truncation removed before they were read",
    ("topic",),
)
HOLDS_EXPIRED = Metric("holds_expired_total", "counter", "times", "Waits for a topic that is behind, given up")
LATENCY = Metric(
    "publish_to_output_seconds",
    "histogram",
    "s",
    "From publishing an event to the commit of what it caused",
    ("topic",),
)
TRANSACTION = Metric("transaction_seconds", "histogram", "s", "Duration of a lane's transaction")
BATCH = Metric("batch_events", "histogram", "events", "Events in one transaction")
RESTORE = Metric("restore_seconds", "histogram", "s", "Opening a lane: fencing, reading its changelog, seeking")
LAG = Metric("lag_records", "gauge", "records", "Records of the owned partitions that are not yet read", ("topic",))
LANES = Metric("lanes_owned", "gauge", "lanes", "Lanes open in this process")
PATIENTS = Metric("patients_tracked", "gauge", "patients", "Patients in the state of the owned lanes")
STATE_BYTES = Metric("state_bytes", "gauge", "bytes", "Size of the state of the owned lanes, encoded")
EXTREMES = Metric("extreme_values_total", "counter", "values", "Values kept although they are extreme", ("field",))
REVISIONS = Metric(
    "revisions_total", "counter", "events", "Corrections and cancellations by what became of them", ("outcome",)
)
LATE_ADMISSIONS = Metric(
    "late_admissions_total",
    "counter",
    "events",
    "Admission events not applied: what came after them in a long stay is folded for good",
    ("kind",),
)
LABS = Metric("lab_results_total", "counter", "results", "Laboratory results by the use that is made of them", ("use",))
LAB_UNITS = Metric(
    "lab_unknown_units_total", "counter", "results", "Results not used, for their unit is not known", ("analyte",)
)
LAB_FLAGS = Metric(
    "lab_flags_total", "counter", "flags", "Critical and delta flags of newest results, published", ("analyte", "flag")
)
SCORES = Metric("scores_total", "counter", "scores", "Rule scores computed", ("score", "complete"))
ALERTS = Metric(
    "alert_transitions_total",
    "counter",
    "transitions",
    "Transitions in the life of alerts",
    ("condition", "transition"),
)
SILENT_ALERTS = Metric(
    "silent_alert_transitions_total",
    "counter",
    "transitions",
    "Transitions in the life of alerts of models that are silent: nobody is told",
    ("condition", "transition"),
)
ANSWERS = Metric(
    "alert_answers_total",
    "counter",
    "answers",
    "People's answers to alerts: taken, or why they changed nothing",
    ("action", "outcome"),
)
ALERT_EPISODES = Metric(
    "alert_episodes_total",
    "counter",
    "alerts",
    "Alerts by what was true of them at some time, each once: raised, in_stay (raised while the patient was admitted), "
    "answered, escalated, retracted, useful, not_useful; unwatched: too many of one patient, nothing else is counted",
    ("condition", "priority", "silent", "what"),
)
ALERT_ANSWERED = Metric(
    "alert_answer_seconds",
    "histogram",
    "s",
    "From when an alert was raised until a person first acknowledged, snoozed, resolved or handed it over",
    ("condition", "priority"),
)
ALERT_VERDICTS = Metric(
    "alert_verdicts_total",
    "counter",
    "alerts",
    "Alerts judged once by what came after them; PPV: true / (true + false)",
    ("condition", "priority", "silent", "verdict"),
)
OUTCOMES_JUDGED = Metric(
    "alert_outcomes_total",
    "counter",
    "outcomes",
    "First outcomes of stays, whether an alert came before or not",
    ("kind",),
)
OUTCOMES_CAUGHT = Metric(
    "alert_outcomes_caught_total",
    "counter",
    "outcomes",
    "Those of alert_outcomes_total that an alert came before, within its horizon; *: of any condition or priority",
    ("condition", "priority", "silent", "kind"),
)
ALERT_LEAD = Metric(
    "alert_lead_seconds",
    "histogram",
    "s",
    "From the first alert that caught an outcome to the outcome",
    ("condition", "priority", "silent"),
)
VERDICTS_OVERTAKEN = Metric(
    "alert_verdicts_overtaken_total",
    "counter",
    "outcomes",
    "Outcomes, corrections and cancellations that came after verdicts they would have changed",
    ("status",),
)
UNIT_ALERTS = Metric(
    "unit_alerts_total",
    "counter",
    "alerts",
    "Alerts raised of admitted patients, silent ones apart, by where the patient was",
    ("unit",),
)
PATIENT_HOURS = Metric(
    "patient_hours_total", "counter", "hours", "Whole hours of stays, by where the patient was at their end", ("unit",)
)
CLOCK_HOURS = Metric(
    "clock_hours_total",
    "counter",
    "hours",
    "Hours of the stream's clock, of which each lane counts its share; a unit-shift is eight of them",
)
OPERATOR_ALERTS = Metric(
    "operator_alert_transitions_total",
    "counter",
    "transitions",
    "Transitions in the life of operators' alerts",
    ("condition", "transition"),
)
FINDINGS = Metric(
    "findings_total",
    "counter",
    "findings",
    "Findings published, by how good they are and why",
    ("model", "quality", "reason"),
)
IMAGING_RETRIES = Metric(
    "imaging_retries_total", "counter", "events", "Imaging events judged again after their image or model was missing"
)
MODEL_SECONDS = Metric(
    "model_seconds", "histogram", "s", "One request to the model server, waiting and tries included", ("model",)
)
MODEL_ROWS = Metric("model_rows", "histogram", "rows", "Rows of one request to the model server", ("model",))
MODEL_FAILURES = Metric(
    "model_failures_total", "counter", "requests", "Requests that the model server did not answer", ("model", "reason")
)
PREDICTED = Metric(
    "predicted_probability_total",
    "counter",
    "predictions",
    "Predictions and findings by their calibrated probability: up to 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, …, 1.0",
    ("model", "up_to"),
)
PREDICTIONS = Metric(
    "predictions_total",
    "counter",
    "predictions",
    "Predictions published, by how far to trust them",
    ("model", "quality"),
)
EXAMPLES = Metric(
    "training_examples_total", "counter", "examples", "Patient-hours told with their label, or why not", ("label",)
)
LATE_OUTCOMES = Metric(
    "late_outcomes_total",
    "counter",
    "outcomes",
    "Outcomes that came when hours they are about had been told: the grace is too short for them",
    ("kind",),
)
LEARNED = Metric("risk_examples", "gauge", "examples", "Examples that the risk model has learned from")
LEARNER_BEHIND = Metric("risk_behind", "gauge", "examples", "Records of training-examples.v1 not yet learned from")
LEARNER_FROZEN = Metric("risk_frozen", "gauge", "yes or no", "1 while learning rests")
RISK_MEASURES = Metric(
    "risk_measure",
    "gauge",
    "of the measure",
    "How good the risk model's predictions were: since start, lately, or of one unit since start",
    ("model", "over", "measure"),
)
RISK_DRIFT = Metric("risk_drift_total", "counter", "changes", "Changes found in the loss and the inputs", ("what",))
SNAPSHOTS_REFUSED = Metric(
    "risk_snapshots_refused_total", "counter", "times", "Snapshots of the risk model that are not served", ("reason",)
)
FLOW_SCORED = Metric(
    "flow_forecasts_scored_total",
    "counter",
    "forecasts",
    "Forecasts of arrivals and beds whose hour has come; the sums below are to be divided by it",
    ("what", "forecaster", "horizon_h"),
)
FLOW_ERROR = Metric(
    "flow_absolute_error_total",
    "counter",
    "patients",
    "Sum of absolute errors of medians: MAE; over that of another forecaster: MASE",
    ("what", "forecaster", "horizon_h"),
)
FLOW_CRPS = Metric("flow_crps_total", "counter", "patients", "Sum of CRPS", ("what", "forecaster", "horizon_h"))
FLOW_PINBALL = Metric(
    "flow_pinball_total",
    "counter",
    "patients",
    "Sum of pinball losses, each the mean over seven levels",
    ("what", "forecaster", "horizon_h"),
)
FLOW_COVERED = Metric(
    "flow_covered_total",
    "counter",
    "forecasts",
    "Forecasts whose central interval of so many percent held what came",
    ("what", "forecaster", "horizon_h", "percent"),
)
FLOW_PIT = Metric(
    "flow_pit_total",
    "counter",
    "forecasts",
    "Forecasts by their randomised PIT: up to 0.1, 0.2, …, 1.0; even where they are calibrated",
    ("what", "forecaster", "horizon_h", "up_to"),
)
FLOW_HOURS = Metric("flow_hours_total", "counter", "hours", "Hours of units closed, by how", ("how",))
HANDOVERS = Metric(
    "handovers_total", "counter", "records", "What lanes asked and gave for merges: asked, given, joined", ("step",)
)
EVICTIONS = Metric(
    "evictions_total", "counter", "patients", "Patients removed from the state after discharge or long silence"
)
HL7_MESSAGES = Metric(
    "hl7_messages_total", "counter", "messages", "HL7 v2 messages by how they were answered", ("feed", "type", "answer")
)
HL7_IGNORED = Metric(
    "hl7_ignored_total",
    "counter",
    "parts",
    "Types, codes and states of HL7 v2 messages that nothing is kept of",
    ("feed", "kind", "what"),
)
HL7_BLOCKS = Metric(
    "hl7_bad_blocks_total",
    "counter",
    "blocks",
    "What came over MLLP and was no block that can be read",
    ("feed", "why"),
)
ACKNOWLEDGED = Metric(
    "acknowledgement_seconds",
    "histogram",
    "s",
    "From the last byte of a message to its first acknowledgement",
    ("feed", "mode"),
)
LATE_ANSWERS = Metric(
    "application_acknowledgements_total",
    "counter",
    "messages",
    "Application acknowledgements of enhanced mode by what became of them",
    ("feed", "outcome"),
)
CONNECTIONS = Metric("connections_open", "gauge", "connections", "Connections of senders", ("feed",))
CONNECTIONS_REFUSED = Metric(
    "connections_refused_total", "counter", "connections", "Connections beyond the limit, closed at once", ("feed",)
)
HANDSHAKES_REFUSED = Metric(
    "handshakes_refused_total", "counter", "connections", "TLS connections not let in, and why", ("feed", "reason")
)
GATEWAY_EVENTS = Metric("gateway_events_total", "counter", "events", "Events taken by a gateway", ("gateway", "topic"))
GATEWAY_REJECTS = Metric(
    "gateway_rejects_total",
    "counter",
    "events",
    "What a gateway could not use, by reason",
    ("gateway", "topic", "reason"),
)
FEED_REJECTS = Metric(
    "feed_rejects_total",
    "counter",
    "parts",
    "Messages, blocks and parts of messages of a feed that could not be used",
    ("feed",),
)
FEED_QUIET = Metric("feed_quiet_seconds", "gauge", "s", "Since the last message of a feed, or the start", ("feed",))
NOTICES_OPEN = Metric(
    "notices_open", "gauge", "notices", "What operators must know and has not ended", ("feed", "condition")
)
HTTP_REQUESTS = Metric(
    "http_requests_total", "counter", "requests", "Requests to publish by their status", ("topic", "status")
)
HTTP_SECONDS = Metric("http_request_seconds", "histogram", "s", "From a request to its answer", ("topic",))
DELIVERY_SECONDS = Metric(
    "delivery_seconds", "histogram", "s", "From handing a group of records to Kafka to its acknowledgement"
)
DELIVERY_ROWS = Metric("delivery_records", "histogram", "records", "Records in one group")
DELIVERY_FAILURES = Metric("delivery_failures_total", "counter", "times", "Groups that Kafka did not take, sent again")
DELIVERY_WAITING = Metric("delivery_waiting", "gauge", "messages", "Messages and requests that wait for Kafka")
SPOOL_RECORDS = Metric("spool_records", "gauge", "messages", "Messages on disk that wait for Kafka")
SPOOL_BYTES = Metric("spool_bytes", "gauge", "bytes", "Size of what waits on disk")
SPOOL_DAMAGED = Metric("spool_damaged", "gauge", "bytes", "Damaged bytes of the spool that are kept aside for a person")
API_READ = Metric("api_read_total", "counter", "transitions", "Transitions of alerts read for all streams")
API_DELIVERED = Metric("api_delivered_total", "counter", "transitions", "Transitions handed to streams, each of them")
API_BEHIND = Metric("api_behind_total", "counter", "times", "Streams that took too little, and then had to catch up")
API_STREAMS = Metric("api_streams", "gauge", "streams", "Streams of alerts that are open")

WEBHOOKS = Metric(
    "webhook_deliveries_total",
    "counter",
    "transitions",
    "Transitions of alerts that webhooks were to be told, by what became of them",
    ("outcome",),
)
WEBHOOK_FAILURES = Metric(
    "webhook_failures_total", "counter", "attempts", "Posts to webhooks that failed, by reason", ("reason",)
)
WEBHOOK_SECONDS = Metric(
    "webhook_seconds", "histogram", "s", "From publishing what caused a transition to the 2xx of its webhook"
)
WEBHOOK_ANSWERS = Metric(
    "webhook_answers_total",
    "counter",
    "answers",
    "Answers in replies of webhooks: published, bad, not_allowed",
    ("use",),
)
WEBHOOK_WAITING = Metric("webhook_waiting", "gauge", "transitions", "Transitions that wait to be posted, or again")
WEBHOOK_OLDEST = Metric("webhook_oldest_seconds", "gauge", "s", "Age of the oldest transition that waits; 0: none does")
WEBHOOK_BEHIND = Metric(
    "webhook_behind", "gauge", "records", "Records of alerts.v1 not yet read, of the subscription farthest behind"
)
WEBHOOK_SUBSCRIPTIONS = Metric(
    "webhook_subscriptions", "gauge", "subscriptions", "Subscriptions with a webhook: told, paused, failing", ("state",)
)

METRICS: tuple[Metric, ...] = tuple(value for value in list(globals().values()) if isinstance(value, Metric))

_UP_TO: Final = (0.005, 0.01, 0.02, 0.03, 0.05, *(tenth / 10 for tenth in range(1, 11)))
"""Finer where alerts begin: `sepsis`, version 1, alerts from .0305."""


def up_to(probability: float) -> str:
    """The label of `PREDICTED` for a calibrated probability: the first of `_UP_TO` that it does not exceed."""
    return str(_UP_TO[min(bisect_left(_UP_TO, probability), len(_UP_TO) - 1)])


def measure_model(meters: Meters, outcome: Outcome) -> None:
    """Count what became of a request to the model server."""
    if outcome.reason is not None:
        meters.count(MODEL_FAILURES, (outcome.model, outcome.reason))
        return
    meters.observe(MODEL_SECONDS, outcome.took_s, (outcome.model,))
    meters.observe(MODEL_ROWS, outcome.rows, (outcome.model,))
