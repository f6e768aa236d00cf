"""How models are made and judged. Only `nets`, `fitting`, `exporting` and `sharing` need torch; judging does not."""
