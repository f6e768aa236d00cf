"""`wardstream rollback MODEL`: see `deploy`, whose opposite it is."""

from wardstream.infra.commands.deploy import rollback

__all__ = ["rollback"]
