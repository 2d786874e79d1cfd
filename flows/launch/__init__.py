"""Handing flows to workflow engines, each thing once.

One module per engine is the only one that imports it; the others speak of queues.
"""
