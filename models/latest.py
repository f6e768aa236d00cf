"""The latest value of each signal: taking measurements in, finding earlier ones anew, and which of them are current.

The latest value is the one observed last, however late it came; of two observed at the same time, the one received
last.
"""

from collections.abc import Collection

import msgspec

from wardstream.models.bins import Bins, MeasurementSet, Value
from wardstream.models.signals import BINS_ONLY, HOUR, ONE_STATEMENT, WINDOWS_S

GRACE = 1 / 12  # of a window: an hour for rounds, which no ward makes to the minute, 5 minutes for a cuff


class Latest(msgspec.Struct, array_like=True, frozen=True):
    """A signal's newest value: when it was observed and received (s since 1970), and whether by a device."""

    value: Value
    at: float
    received: float
    device: bool

    def until(self, code: str) -> float:
        """When it stops to be current, in seconds since 1970."""
        return self.at + WINDOWS_S[self.device][code]

    def overdue(self, code: str) -> float:
        """When the next one is overdue, in seconds since 1970."""
        return self.at + WINDOWS_S[self.device][code] * (1 + GRACE)


Signals = dict[str, Latest]  # by code


def take(signals: Signals, measured: MeasurementSet) -> bool:
    """Take in what is newer than what is known; tells whether anything was. What is for bins only is left out."""
    newer = False
    at, received, device = measured.at, measured.received, measured.device
    for code, value in measured.values.items():
        known = signals.get(code)
        if known is not None and at <= known.at:
            if at < known.at:
                continue
            # The last terms only make any order of arrival give the same.
            if (received, value, not device) < (known.received, known.value, not known.device):
                continue
        elif known is None and code in BINS_ONLY:
            continue
        signals[code] = Latest(value, at, received, device)
        newer = True
    return newer


def find(signals: Signals, bins: Bins, codes: Collection[str], until: float = float("inf")) -> None:
    """Look the newest values of some signals up in the bins, of those observed until a time (s since 1970)."""
    wanted = set(codes) - BINS_ONLY
    for code in wanted:
        signals.pop(code, None)
    for hour in bins.hours():
        if not wanted:
            return
        if hour * HOUR <= until:
            for measured in bins.hour(hour):
                some = {code: value for code, value in measured.values.items() if code in wanted}
                if some and measured.at <= until:
                    take(signals, msgspec.structs.replace(measured, values=some))
            wanted -= signals.keys()


def current(signals: Signals, at: float) -> Signals:
    """The signals that are current at a time; of several ways to say one thing, only the newest statement."""
    current = {code: one for code, one in signals.items() if one.at + WINDOWS_S[one.device][code] > at}  # `until`
    for group in ONE_STATEMENT:
        said = [code for code in group if code in current]
        if len(said) > 1:
            newest = max(current[code].at for code in said)
            for code in said:
                if current[code].at < newest:
                    del current[code]
    return current
