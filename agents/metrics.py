"""Every metric, named once, with its unit and meaning. What counts them is in `meters`."""

from __future__ import annotations

from typing import Final

from wardstream.agents.meters import Histogram as Histogram
from wardstream.agents.meters import Kind as Kind
from wardstream.agents.meters import Labels as Labels
from wardstream.agents.meters import Meters as Meters
from wardstream.agents.meters import Metric as Metric
from wardstream.agents.meters import counter, gauge, histogram
from wardstream.agents.meters import quantile as quantile
from wardstream.agents.meters import series_name as series_name

EVENTS = counter("events_total", "events", "Events applied, duplicates and dead letters apart", "topic")
BYTES = counter("input_bytes_total", "bytes", "Size of the values of all records read", "topic")
OUTPUTS = counter("outputs_total", "events", "Records written, dead letters apart", "topic")
DEAD_LETTERS = counter("dead_letters_total", "events", "Records sent to a dead-letter topic", "topic", "reason")
DUPLICATES = counter("duplicates_total", "events", "Events whose id their patient had already seen", "topic")
STRAYS = counter("strays_total", "events", "Events found in another lane than their patient's, forwarded", "topic")
FOLLOWED = counter("followed_total", "events", "Events of an id that has ceased in a merge, forwarded", "topic")
HANDLER_ERRORS = counter(
    "handler_errors_total",
    "errors",
    "Handlers that raised: on an event, which becomes a dead letter, or on what a tick means for one patient",
    "topic",
    "error",
)
RELOADS = counter("lane_reloads_total", "times", "Lanes restored from their changelog", "cause")
INPUTS_RECREATED = counter("inputs_recreated_total", "times", "Input topics found to be made anew", "topic")
INPUT_LOST = counter(
    "input_lost_total", "records", "Records that retention or truncation removed before they were read", "topic"
)
HOLDS_EXPIRED = counter("holds_expired_total", "times", "Waits for a topic that is behind, given up")
LATENCY = histogram(
    "publish_to_output_seconds", "s", "From publishing an event to the commit of what it caused", "topic"
)
DELAY = histogram(
    "observed_to_received_seconds",
    "s",
    "From when something was observed until its sender's side had it, as events say it: what comes late, from where",
    "topic",
)
HANDLING = histogram("handling_seconds", "s", "Handlers at work on one topic's part of a batch", "topic")
TRANSACTION = histogram(
    "transaction_seconds", "s", "A lane's transaction: what has changed is encoded, sent and committed"
)
BATCH = histogram("batch_events", "events", "Events in one transaction")
RESTORE = histogram("restore_seconds", "s", "Opening a lane: fencing, reading its changelog, seeking")
LANE_STILL = gauge(
    "lane_still_seconds", "s", "For how long the worst lane has stood still while its input goes on; at 60 s it ends"
)
LAG = gauge("lag_records", "records", "Records of the owned partitions that are not yet read", "topic")
LANES = gauge("lanes_owned", "lanes", "Lanes open in this process")
PATIENTS = gauge("patients_tracked", "patients", "Patients in the state of the owned lanes")
STATE_ROWS = counter("state_rows_total", "rows", "Rows of state written to changelogs")
STATE_BYTES = gauge("state_bytes", "bytes", "Size of the state of the owned lanes, encoded")
EXTREMES = counter("extreme_values_total", "values", "Values kept although they are extreme", "field")
REVISIONS = counter("revisions_total", "events", "Corrections and cancellations by what became of them", "outcome")
LATE_ADMISSIONS = counter(
    "late_admissions_total",
    "events",
    "Admission events not applied: what came after them in a long stay is folded for good",
    "kind",
)
LABS = counter("lab_results_total", "results", "Laboratory results by the use that is made of them", "use")
LAB_UNITS = counter("lab_unknown_units_total", "results", "Results not used, for their unit is not known", "analyte")
LAB_FLAGS = counter(
    "lab_flags_total", "flags", "Critical and delta flags of newest results, published", "analyte", "flag"
)
SCORES = counter("scores_total", "scores", "Rule scores computed", "score", "complete")
ALERTS = counter(
    "alert_transitions_total", "transitions", "Transitions in the life of alerts", "condition", "transition"
)
SILENT_ALERTS = counter(
    "silent_alert_transitions_total",
    "transitions",
    "Transitions in the life of alerts of models that are silent: nobody is told",
    "condition",
    "transition",
)
ANSWERS = counter(
    "alert_answers_total",
    "answers",
    "People's answers to alerts: taken, or why they changed nothing",
    "action",
    "outcome",
)
ALERT_EPISODES = counter(
    "alert_episodes_total",
    "alerts",
    "Alerts by what was true of them at some time, each once: raised, in_stay (raised while the patient was admitted), "
    "answered, escalated, retracted, useful, not_useful; unwatched: too many of one patient, nothing else is counted",
    "condition",
    "priority",
    "silent",
    "what",
)
ALERT_ANSWERED = histogram(
    "alert_answer_seconds",
    "s",
    "From when an alert was raised until a person first acknowledged, snoozed, resolved or handed it over",
    "condition",
    "priority",
)
ALERT_VERDICTS = counter(
    "alert_verdicts_total",
    "alerts",
    "Alerts judged once by what came after them; PPV: true / (true + false)",
    "condition",
    "priority",
    "silent",
    "verdict",
)
OUTCOMES_JUDGED = counter(
    "alert_outcomes_total", "outcomes", "First outcomes of stays, whether an alert came before or not", "kind"
)
OUTCOMES_CAUGHT = counter(
    "alert_outcomes_caught_total",
    "outcomes",
    "Those of alert_outcomes_total that an alert came before, within its horizon; *: of any condition or priority",
    "condition",
    "priority",
    "silent",
    "kind",
)
ALERT_LEAD = histogram(
    "alert_lead_seconds",
    "s",
    "From the first alert that caught an outcome to the outcome",
    "condition",
    "priority",
    "silent",
)
VERDICTS_OVERTAKEN = counter(
    "alert_verdicts_overtaken_total",
    "outcomes",
    "Outcomes, corrections and cancellations that came after verdicts they would have changed",
    "status",
)
UNIT_ALERTS = counter(
    "unit_alerts_total",
    "alerts",
    "Alerts raised of admitted patients, silent ones apart, by where the patient was",
    "unit",
)
PATIENT_HOURS = counter(
    "patient_hours_total", "hours", "Whole hours of stays, by where the patient was at their end", "unit"
)
CLOCK_HOURS = counter(
    "clock_hours_total",
    "hours",
    "Hours of the stream's clock, of which each lane counts its share; a unit-shift is eight of them",
)
OPERATOR_ALERTS = counter(
    "operator_alert_transitions_total",
    "transitions",
    "Transitions in the life of operators' alerts",
    "condition",
    "transition",
)
FINDINGS = counter(
    "findings_total", "findings", "Findings published, by how good they are and why", "model", "quality", "reason"
)
IMAGING_RETRIES = counter(
    "imaging_retries_total", "events", "Imaging events judged again after their image or model was missing"
)
MODEL_SECONDS = histogram("model_seconds", "s", "One request to the model server, waiting and tries included", "model")
MODEL_ROWS = histogram("model_rows", "rows", "Rows of one request to the model server", "model")
MODEL_FAILURES = counter(
    "model_failures_total", "requests", "Requests that the model server did not answer", "model", "reason"
)
PREDICTED = counter(
    "predicted_probability_total",
    "predictions",
    "Predictions and findings by their calibrated probability: up to 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, …, 1.0",
    "model",
    "up_to",
)
PREDICTIONS = counter(
    "predictions_total", "predictions", "Predictions published, by how far to trust them", "model", "quality"
)
EXAMPLES = counter("training_examples_total", "examples", "Patient-hours told with their label, or why not", "label")
LATE_OUTCOMES = counter(
    "late_outcomes_total",
    "outcomes",
    "Outcomes that came when hours they are about had been told: the grace is too short for them",
    "kind",
)
LEARNED = gauge("risk_examples", "examples", "Examples that the risk model has learned from")
LEARNER_BEHIND = gauge("risk_behind", "examples", "Records of training-examples.v1 not yet learned from")
LEARNER_FROZEN = gauge("risk_frozen", "yes or no", "1 while learning rests")
RISK_MEASURES = gauge(
    "risk_measure",
    "of the measure",
    "How good the risk model's predictions were: since start, lately, or of one unit since start",
    "model",
    "over",
    "measure",
)
RISK_CALIBRATION = gauge(
    "risk_calibration",
    "predictions",
    "Of what a risk model said lately, by probability (bounds as of predicted_probability_total): predictions, those "
    "expected to come true (the sum of probabilities), and positives, which did",
    "model",
    "up_to",
    "count",
)
RISK_COURSE = gauge(
    "risk_course",
    "of the measure",
    "Each 500 predictions of a risk model, 0 the newest: mean log_loss, mean probability (said), share that came true "
    "(happened)",
    "model",
    "block",
    "measure",
)
RISK_SNAPSHOTS = counter("risk_snapshots_total", "snapshots", "Snapshots of the risk model, written by the learner")
RISK_DRIFT = counter("risk_drift_total", "changes", "Changes found in the loss and the inputs", "what")
SNAPSHOTS_REFUSED = counter(
    "risk_snapshots_refused_total", "times", "Snapshots of the risk model that are not served", "reason"
)
_FORECAST: Final = ("what", "forecaster", "horizon_h")
_OF_UNIT: Final = ("unit", "what", "horizon_h")
FLOW_SCORED = counter(
    "flow_forecasts_scored_total",
    "forecasts",
    "Forecasts of arrivals and beds whose hour has come; the sums below are to be divided by it",
    *_FORECAST,
)
FLOW_ERROR = counter(
    "flow_absolute_error_total",
    "patients",
    "Sum of absolute errors of medians: MAE; over that of another forecaster: MASE",
    *_FORECAST,
)
FLOW_CRPS = counter("flow_crps_total", "patients", "Sum of CRPS", *_FORECAST)
FLOW_PINBALL = counter(
    "flow_pinball_total", "patients", "Sum of pinball losses, each the mean over seven levels", *_FORECAST
)
FLOW_COVERED = counter(
    "flow_covered_total",
    "forecasts",
    "Forecasts whose central interval of so many percent held what came",
    *_FORECAST,
    "percent",
)
FLOW_PIT = counter(
    "flow_pit_total",
    "forecasts",
    "Forecasts by their randomised PIT: up to 0.1, 0.2, …, 1.0; even where they are calibrated",
    *_FORECAST,
    "up_to",
)
FLOW_UNIT_SCORED = counter(
    "flow_unit_forecasts_scored_total",
    "forecasts",
    "Published forecasts of a unit whose hour has come; the sums below are to be divided by it",
    *_OF_UNIT,
)
FLOW_UNIT_ERROR = counter("flow_unit_absolute_error_total", "patients", "Sum of absolute errors of medians", *_OF_UNIT)
FLOW_UNIT_COVERED = counter(
    "flow_unit_covered_total", "forecasts", "Forecasts whose central 80 % interval held what came", *_OF_UNIT
)
FLOW_FORECASTS = counter("flow_forecasts_total", "forecasts", "Forecasts of units published, all horizons as one")
FLOW_CLOSE = histogram("flow_close_seconds", "s", "Closing one hour of all units: counting, learning, forecasting")
FLOW_HOURS = counter("flow_hours_total", "hours", "Hours of units closed, by how", "how")
HANDOVERS = counter("handovers_total", "records", "What lanes asked and gave for merges: asked, given, joined", "step")
EVICTIONS = counter("evictions_total", "patients", "Patients removed from the state after discharge or long silence")
HL7_MESSAGES = counter(
    "hl7_messages_total", "messages", "HL7 v2 messages by how they were answered", "feed", "type", "answer"
)
HL7_IGNORED = counter(
    "hl7_ignored_total",
    "parts",
    "Types, codes and states of HL7 v2 messages that nothing is kept of",
    "feed",
    "kind",
    "what",
)
HL7_BLOCKS = counter(
    "hl7_bad_blocks_total", "blocks", "What came over MLLP and was no block that can be read", "feed", "why"
)
ACKNOWLEDGED = histogram(
    "acknowledgement_seconds", "s", "From the last byte of a message to its first acknowledgement", "feed", "mode"
)
LATE_ANSWERS = counter(
    "application_acknowledgements_total",
    "messages",
    "Application acknowledgements of enhanced mode by what became of them",
    "feed",
    "outcome",
)
CONNECTIONS = gauge("connections_open", "connections", "Connections of senders", "feed")
CONNECTIONS_REFUSED = counter(
    "connections_refused_total", "connections", "Connections beyond the limit, closed at once", "feed"
)
HANDSHAKES_REFUSED = counter(
    "handshakes_refused_total", "connections", "TLS connections not let in, and why", "feed", "reason"
)
GATEWAY_EVENTS = counter("gateway_events_total", "events", "Events taken by a gateway", "gateway", "topic")
GATEWAY_REJECTS = counter(
    "gateway_rejects_total", "events", "What a gateway could not use, by reason", "gateway", "topic", "reason"
)
FEED_REJECTS = counter(
    "feed_rejects_total", "parts", "Messages, blocks and parts of messages of a feed that could not be used", "feed"
)
FEED_QUIET = gauge("feed_quiet_seconds", "s", "Since the last message of a feed, or the start", "feed")
NOTICES_OPEN = gauge("notices_open", "notices", "What operators must know and has not ended", "feed", "condition")
HTTP_REQUESTS = counter("http_requests_total", "requests", "Requests to publish by their status", "topic", "status")
HTTP_SECONDS = histogram("http_request_seconds", "s", "From a request to its answer", "topic")
DELIVERY_SECONDS = histogram("delivery_seconds", "s", "From handing a group of records to Kafka to its acknowledgement")
DELIVERY_ROWS = histogram("delivery_records", "records", "Records in one group")
DELIVERY_FAILURES = counter("delivery_failures_total", "times", "Groups that Kafka did not take, sent again")
DELIVERY_WAITING = gauge("delivery_waiting", "messages", "Messages and requests that wait for Kafka")
SPOOL_RECORDS = gauge("spool_records", "messages", "Messages on disk that wait for Kafka")
SPOOL_BYTES = gauge("spool_bytes", "bytes", "Size of what waits on disk")
SPOOL_DAMAGED = gauge("spool_damaged", "bytes", "Damaged bytes of the spool that are kept aside for a person")
API_REQUESTS = counter(
    "api_requests_total", "requests", "Requests to the API and the board by their answer", "method", "route", "status"
)
API_SECONDS = histogram(
    "api_request_seconds", "s", "From a request to the head of its answer: of a stream, until it begins", "route"
)
ALERTS_OPEN = gauge(
    "alerts_open",
    "alerts",
    "Alerts that are open, silent ones apart: each API process knows all, so take the largest, not the sum",
    "condition",
    "priority",
)
AUDITED = counter(
    "audited_total", "records", "Records that the API has put on the audit: answers, looks, names", "what"
)
AUDIT_FAILURES = counter("audit_failures_total", "times", "The audit took nothing, and what was asked was not done")
API_READ = counter("api_read_total", "transitions", "Transitions of alerts read for all streams")
API_DELIVERED = counter("api_delivered_total", "transitions", "Transitions handed to streams, each of them")
API_BEHIND = counter("api_behind_total", "times", "Streams that took too little, and then had to catch up")
API_STREAMS = gauge("api_streams", "streams", "Streams of alerts that are open")

BOARD_STREAMS = gauge("board_streams", "streams", "Ward boards that are open")
BOARD_BEGUN = counter(
    "board_streams_begun_total", "streams", "Streams of ward boards begun: new, or resumed where they were", "how"
)
BOARD_BYTES = counter("board_bytes_total", "bytes", "Size of what ward boards were told, before TLS")
BOARD_TILES = counter("board_tiles_total", "tiles", "Tiles of patients that were built anew, once for all boards")
BOARD_FLUSH = histogram("board_flush_seconds", "s", "Building the tiles and alerts that have changed in a second")
BOARD_PATIENTS = gauge("board_patients", "patients", "Patients whose day this process keeps for boards")
BOARD_BEHIND = gauge("board_behind_seconds", "s", "How old the newest is that boards show; 0: all is read")
WEBHOOKS = counter(
    "webhook_deliveries_total",
    "transitions",
    "Transitions of alerts that webhooks were to be told, by what became of them",
    "outcome",
)
WEBHOOK_FAILURES = counter("webhook_failures_total", "attempts", "Posts to webhooks that failed, by reason", "reason")
WEBHOOK_SECONDS = histogram(
    "webhook_seconds", "s", "From publishing what caused a transition to the 2xx of its webhook"
)
WEBHOOK_ANSWERS = counter(
    "webhook_answers_total", "answers", "Answers in replies of webhooks: published, bad, not_allowed", "use"
)
WEBHOOK_WAITING = gauge("webhook_waiting", "transitions", "Transitions that wait to be posted, or again")
WEBHOOK_OLDEST = gauge("webhook_oldest_seconds", "s", "Age of the oldest transition that waits; 0: none does")
WEBHOOK_BEHIND = gauge(
    "webhook_behind", "records", "Records of alerts.v1 not yet read, of the subscription farthest behind"
)
WEBHOOK_SUBSCRIPTIONS = gauge(
    "webhook_subscriptions", "subscriptions", "Subscriptions with a webhook: told, paused, failing", "state"
)

METRICS: tuple[Metric, ...] = tuple(value for value in list(globals().values()) if isinstance(value, Metric))
