"""What an application needs: `from wardstream.client import Publisher, AlertSubscription`."""

from wardstream.client.alerts import AlertError as AlertError
from wardstream.client.alerts import AlertSubscription as AlertSubscription
from wardstream.client.batches import PublishError as PublishError
from wardstream.client.publisher import Publisher as Publisher
