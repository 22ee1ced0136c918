"""What can be done to people and access, one module per noun.

Every operation takes keyword arguments, `by` (who) and `now`; runs in one transaction whose last statement is its
ledger entry; and raises Refused before its first write when it may not happen.
"""
