"""Alerts that people can live with: their policy, their states, and the rules by which they begin, change and end."""
