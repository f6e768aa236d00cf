"""What an application that publishes needs: `from wardstream.client import Publisher`."""

from wardstream.client.publisher import Publisher as Publisher
from wardstream.client.publisher import PublishError as PublishError
