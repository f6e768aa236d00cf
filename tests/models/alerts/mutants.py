"""Wrong versions of the life of an alert: what is replaced by what, and what that breaks.

A mutant is made in memory: its sources are changed and run as modules of their own; nothing on disk changes.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from wardstream.models.alerts import answers, life

_NAME = "mutant_of_life"


class Mutant(NamedTuple):
    """One replacement in `life.py` or `answers.py`; `caught_by`: the property test too, or the tables (it may
    need thousands of examples, or none suffices)."""

    breaks: str
    old: str
    new: str
    caught_by: str = "property"


MUTANTS = (
    Mutant("Raises before the condition has held for long enough.", "pending.since + rule.hold_s", "pending.since"),
    Mutant("A hold begins anew with each verdict.", "else before.since", "else now.at"),
    Mutant(
        "A hold goes on from before a correction.",
        "if before is None or verdict.retracts is not None else",
        "if before is None else",
        "tables",
    ),
    Mutant(
        "Raises between the thresholds what waited.",
        "            before.ready = None\n",
        "            pass\n",
        "tables",
    ),
    Mutant(
        "What is not known any more is not raised.",
        "before is not None and not verdict.stale",
        "before is not None",
        "tables",
    ),
    Mutant(
        "What waited is raised after it is over.",
        "            del book.pending[condition]\n        elif before",
        "            pass\n        elif before",
        "tables",
    ),
    Mutant("Silence is not kept.", "ready = max(ready, silenced.until)", "pass", "tables"),
    Mutant("Worse does not break silence.", "RANK[priority] <= RANK[silenced.priority]", "True", "tables"),
    Mutant(
        "The same priority breaks silence.",
        "RANK[priority] <= RANK[silenced.priority]",
        "RANK[priority] < RANK[silenced.priority]",
        "tables",
    ),
    Mutant(
        "Quiet hours do not hold back.",
        "in (rule.quiet_until(now.at, priority), now.suppressed_until)",
        "in (now.suppressed_until,)",
        "tables",
    ),
    Mutant(
        "Comfort care does not hold back.",
        "in (rule.quiet_until(now.at, priority), now.suppressed_until)",
        "in (rule.quiet_until(now.at, priority),)",
        "tables",
    ),
    Mutant("What waits is raised one moment late.", "if ready > now.at:", "if ready >= now.at:"),
    Mutant("What has been raised waits on, and is raised twice.", "    book.pending.pop(condition, None)\n", ""),
    Mutant("Two alerts have one id.", "in taken:", "in ():", "tables"),
    Mutant("Worsening is not told.", "if RANK[priority] > RANK[alert.priority]:", "if False:"),
    Mutant(
        "The same priority worsens again and again.",
        "if RANK[priority] > RANK[alert.priority]:",
        "if RANK[priority] >= RANK[alert.priority]:",
    ),
    Mutant(
        "Worsening does not break a rest.",
        'alert.state, alert.stepped, alert.tier, alert.until = "raised",',
        "alert.state, alert.stepped, alert.tier, alert.until = alert.state,",
    ),
    Mutant(
        "A worse alert stands on the evidence of before.",
        "verdict.priority, verdict.reason, pin(verdict.evidence())",
        "verdict.priority, verdict.reason, alert.evidence",
    ),
    Mutant("An answer to what was before counts.", "alert.number + 1, 0, None", "1, 0, None"),
    Mutant(
        "Tiers go on from before it was raised again.",
        "alert.number + 1, 0, None",
        "alert.number + 1, alert.tier, None",
    ),
    Mutant(
        "The time to answer runs from when it was first raised.",
        "alert.stepped_at = alert.told_at = max(alert.stepped_at, now.at)",
        "alert.told_at = now.at",
    ),
    Mutant("A clock that goes back shortens the time to answer.", "max(alert.stepped_at, now.at)", "now.at", "tables"),
    Mutant(
        "Missing data ends an alert.",
        "if priority is None and verdict.over:",
        "if priority is None and (verdict.over or verdict.stale):",
    ),
    Mutant(
        "Between the thresholds it ends.",
        "if priority is None and verdict.over:",
        "if priority is None and not verdict.stale:",
        "tables",
    ),
    Mutant(
        "What is over goes on.",
        "if priority is None and verdict.over:",
        "if priority is None and verdict.over and not alert.stale:",
        "tables",
    ),
    Mutant(
        "A correction retracts nothing that is answered.",
        "if verdict.retracts is not None:\n        changes",
        "if verdict.retracts is not None and alert.state in UNANSWERED:\n        changes",
        "tables",
    ),
    Mutant(
        "What holds after a correction is not raised.",
        "verdict.retracts, verdict.evidence()))\n        return changes + _consider(book, verdict, rule, now)",
        "verdict.retracts, verdict.evidence()))\n        return changes",
    ),
    Mutant("Silent alerts stay silent.", "if alert.silent and not verdict.silent and", "if False and"),
    Mutant("An alert is stale where its condition holds.", "(priority is None and verdict.stale)", "verdict.stale"),
    Mutant(
        "High and unanswered expires.",
        'stays = alert.priority == "high" and alert.state in UNANSWERED and not alert.silent',
        "stays = False",
    ),
    Mutant(
        "Where the clock jumps, high is not told again.",
        'stays = rested and alert.priority == "high" and not alert.silent',
        "stays = False",
    ),
    Mutant(
        "What is seen to hold expires all the same.",
        "        alert.confirmed_at = max(alert.confirmed_at, now.at)\n        _set_expiry",
        "        _set_expiry",
        "tables",
    ),
    Mutant(
        "Data that are missing keep an alert from expiring.",
        "    if not alert.stale:\n        alert.confirmed_at",
        "    if True:\n        alert.confirmed_at",
        "tables",
    ),
    Mutant(
        "A condition that the policy has no more stays open.",
        "        if rule is None:\n            changes.append(end",
        "        if rule is None:\n            ([]).append(end",
    ),
    Mutant(
        "Timers are those of the policy of before.",
        "        set_timers(alert, rule)  # the policy may have changed\n",
        "",
        "tables",
    ),
    Mutant("A rest never ends.", "        elif rested:", "        elif False:"),
    Mutant("A rest ends in quiet hours.", "        alert.until = quiet\n        return []", "        pass", "tables"),
    Mutant("Escalates in quiet hours.", "        alert.next_at = quiet\n        return []", "        pass", "tables"),
    Mutant(
        "Escalates one tier at a time, however late.",
        "alert.tier, said = reached,",
        "alert.tier, said = alert.tier + 1,",
    ),
    Mutant("Escalates a moment late.", "alert.stepped_at + after_s <= now.at", "alert.stepped_at + after_s < now.at"),
    Mutant("The last tier is told once only.", "None if repeat_s is None else alert.told_at + repeat_s", "None"),
    Mutant(
        "Repeats run from when it was raised.",
        "alert.told_at + repeat_s",
        "alert.stepped_at + repeat_s * (alert.tier + 1)",
    ),
    Mutant(
        "What is answered escalates.",
        "None if alert.silent or alert.state not in UNANSWERED else",
        "None if alert.silent else",
    ),
    Mutant(
        "Silent alerts escalate.",
        "None if alert.silent or alert.state not in UNANSWERED else",
        "None if alert.state not in UNANSWERED else",
        "tables",
    ),
    Mutant("Comfort care closes what is silent.", "if not alert.silent]", "]", "tables"),
    Mutant(
        "What comfort care has closed is forgotten.",
        "    book.pending[condition] = Pending(  # since",
        "    Pending(  # since",
    ),
    Mutant("Whoever leaves is told of later.", "    book.pending.clear()\n", "", "tables"),
    Mutant(
        "Numbers have gaps.",
        "alert.state, alert.number = transition, alert.number + 1",
        "alert.state, alert.number = transition, alert.number + 2",
    ),
    Mutant(
        "Escalations have no number of their own.",
        "    alert.number += 1\n    return Change(condition, replace(alert), transition",
        '    alert.number += transition != "escalated"\n    return Change(condition, replace(alert), transition',
    ),
    Mutant("A late answer counts.", "at < alert.stepped_at)", "False)"),
    Mutant("What the person saw does not count.", "given.seen < alert.stepped if", "False if"),
    Mutant("An answer given before another undoes it.", "if at < alert.answered_at or (", "if (", "tables"),
    Mutant(
        "A snooze may be as long as one likes.",
        "min(given.snooze_until.timestamp(), at + rule.max_snooze_s)",
        "given.snooze_until.timestamp()",
    ),
    Mutant(
        "A snooze that comes twice lasts longer.", "at + rule.max_snooze_s)", "now.at + rule.max_snooze_s)", "tables"
    ),
    Mutant(
        "A snooze that has ended counts.", '        if until <= now.at:\n            return "outdated"\n', "", "tables"
    ),
    Mutant("Snoozes where the policy allows none.", "if rule.max_snooze_s <= 0:", "if False:", "tables"),
    Mutant(
        "An answer begins no silence.",
        "    book.silenced[condition] = Silenced(silent_until, alert.priority)\n",
        "",
        "tables",
    ),
    Mutant("An answer is answered for ever.", "now.at + rule.reassess_s", "now.at + 10**6 * rule.reassess_s"),
    Mutant(
        "Acknowledging twice begins the rest anew.",
        '            if alert.state == "acknowledged":\n                return "repeated"\n',
        "",
    ),
    Mutant("Who acknowledges takes it from who has it in hand.", "alert.assigned_to or given.actor", "given.actor"),
    Mutant("A late hand-over undoes a later one.", "if at < alert.handed_at:", "if False:", "tables"),
    Mutant("A late rating undoes a later one.", "given.useful is None or at < alert.rated_at", "given.useful is None"),
    Mutant("Ended alerts cannot be rated.", "if not _rate(alert, given):", "if _rate(alert, given) or True:"),
    Mutant("The rating of a late answer is lost.", 'if outcome != "taken" and not rated:', 'if outcome != "taken":'),
    Mutant(
        "An answer confirms nothing.",
        "    alert.confirmed_at = max(alert.confirmed_at, now.at)  # a person has it in hand\n",
        "",
    ),
)


def made(mutant: Mutant) -> tuple[ModuleType, ModuleType]:
    """The mutant's `life` and `answers`."""
    sources = {module: Path(str(module.__file__)).read_text() for module in (life, answers)}
    places = [module for module, source in sources.items() if mutant.old in source]
    assert [sources[place].count(mutant.old) for place in places] == [1], f"not one place: {mutant.old}"
    sources[places[0]] = sources[places[0]].replace(mutant.old, mutant.new)
    sources[answers] = sources[answers].replace(life.__name__, _NAME)
    made_life, made_answers = ModuleType(_NAME), ModuleType(f"{_NAME}.answers")
    sys.modules[_NAME] = made_life
    try:
        exec(compile(sources[life], _NAME, "exec"), made_life.__dict__)
        exec(compile(sources[answers], f"{_NAME}.answers", "exec"), made_answers.__dict__)
    finally:
        del sys.modules[_NAME]
    return made_life, made_answers
