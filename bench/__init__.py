"""Figures, taken side by side in one run. ``python -m bench`` runs all of them; see README.md."""
