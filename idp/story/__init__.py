"""The demonstration's story: what Dr Okafor's app, Dr Lind, a thief and the administrators do, and what must come back.

`wire.py` is the app's side: HTTP to the running server and nothing else. `forgeries.py` bends tokens as an attacker
would. `acts.py` is the story itself. Must not run where real patients are (idp/demo.py refuses to make its cast there).
"""
