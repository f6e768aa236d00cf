"""What an application that publishes needs: `from wardstream.client import Publisher`."""

from wardstream.client.batches import PublishError as PublishError
from wardstream.client.publisher import Publisher as Publisher
