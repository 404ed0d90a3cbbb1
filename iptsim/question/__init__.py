"""A question: which packet to follow, from where to where, and what is known about it.

`endpoints` and `fields` read the words of a question, `facts` what can be stated beyond the packet; `model` contains
the question. `start` makes the first packet of it on a host, `tracking` what conntrack knows of that packet.
"""
