"""What to do about an answer that may be too uncertain: accept, compute better, or give up.

Pure: questions, intervals and budgets in, decisions with their reasons out.
"""
