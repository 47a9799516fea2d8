"""Observe, plan, record, push."""
